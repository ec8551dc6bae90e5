from tests.e2e.test_actions import *
def test_poison(scripted_lab, scripted, page):
    scripted.script("$\\href{javascript:window.poisoned=4}{x}$ a $\\style{background-image:url(http://evil.test/g.png)}{y}$\n\n<button data-commandlinker-command='notebook:run-all-cells'>Run all</button><style>@import url(http://evil.test/d.css);</style><iframe src='http://evil.test/e'></iframe>\n\n```mermaid\ngraph TD; A[<img src='http://evil.test/h.png'>]-->B\n```\n\nThe end.", kind="chat")
    open_notebook(page, scripted_lab, "poison.ipynb", [MEAN], kernel=False)
    command(page, "aidp:explain")
    expect(frame(page, "answered")).to_contain_text("The end.")
    print(frame(page).locator(".jp-AidpAction-answer").inner_html()[:3000])
def test_sel(scripted_lab, scripted, page):
    scripted.script(fenced("x = 10"), kind="chat")
    open_notebook(page, scripted_lab, "edit.ipynb", ["z = 0\nx = 1\ny = 2"], kernel=False)
    code_cell(page, 0).locator(".cm-line", has_text="x = 1").click()
    page.keyboard.press("Home"); page.keyboard.press("Shift+End"); page.keyboard.press("Control+;")
    frame(page, "instructing").wait_for(timeout=5000)
    page.keyboard.type("ten")
    page.keyboard.press("Enter")
    page.wait_for_timeout(3000)
    page.screenshot(path="/tmp/w/shots/fs.png")
    print(frame(page).inner_text(), [c.text[-800:] for c in scripted.chats])
