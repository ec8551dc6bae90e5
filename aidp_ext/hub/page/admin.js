// Stops a server after one question, and says what came of it. Everything else on the page is HTML.
"use strict";

const dialog = document.getElementById("confirm");
const said = document.getElementById("said");
const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

function say(text, kind) {
  said.textContent = text;
  said.className = `alert alert-${kind}`;
  said.hidden = false;
}

function confirmed(name) {
  dialog.querySelector("[data-name]").textContent = name;
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "stop"), { once: true });
  });
}

async function stop(button) {
  const { user, server } = button.dataset;
  const name = server ? `${user} (${server})` : user;
  if (!(await confirmed(name))) {
    return;
  }
  button.disabled = true;
  say(`Stopping the server of ${name} …`, "info");
  try {
    const response = await fetch("servers/stop", {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-XSRFToken": meta("xsrf"),
        "X-AIDP-Page": meta("page"),
      },
      body: JSON.stringify({ user, server }),
    });
    const answer = await response.json().catch(() => {
      throw new Error("the hub does not answer. Try again in a moment.");
    });
    if (!response.ok) {
      const { message, details } = answer.error;
      throw new Error([message, details.next_step].filter(Boolean).join(" "));
    }
    const cell = button.closest("tr").querySelector('[data-label="Server"] .badge');
    cell.textContent = answer.is_over ? "stopped" : "stopping";
    cell.className = "badge text-bg-secondary";
    button.remove();
    say(answer.is_over ? `The server of ${name} is stopped.` : `The server of ${name} is stopping.`, "success");
    document.getElementById("refresh").focus();
  } catch (error) {
    button.disabled = false;
    say(`The server of ${name} was not stopped: ${error.message}`, "danger");
    button.focus();
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-stop]");
  if (button) {
    stop(button);
  }
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("name").focus();
  }
});
