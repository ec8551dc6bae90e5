from tests.e2e.test_completion import *
pytestmark = [pytest.mark.e2e]
for k in list(globals()):
    if k.startswith("test_"): del globals()[k]
def test_x(scripted_lab, scripted, page):
    filler = [f"filler_{n} = [{n}] * 100  # " + "nothing of interest " * 5 for n in range(60)]
    mean_age = "def mean_age(people):\n    return sum(person.age for person in people) / len(people)"
    open_notebook(page, scripted_lab, "long.ipynb", ["import polars as pl", mean_age, *filler, ""])
    def req(one):
        if one.url.endswith("/aidp/ai/context"):
            d = json.loads(one.post_data); print("REQ", d["query"], d["document"]["active"], len(d["document"]["cells"]), d["budget"])
    def resp(one):
        if one.url.endswith("/aidp/ai/context"): r=one.json(); print("RESP", r["summary"], [(i["label"], i["why"]) for i in r["items"]][:8], len(r["text"]))
    page.on("request", req); page.on("response", resp)
    code_cell(page, 62).locator(".cm-content").click()
    page.wait_for_timeout(1500)
    page.keyboard.type("average = mean_age")
    page.wait_for_timeout(4000)
    page.keyboard.type("(")
    page.wait_for_timeout(4000)
    for a in scripted.completions: print(repr(a.text[-30:]), len(a.text), "def mean_age" in a.text)
    page.screenshot(path="/tmp/w/shots/g4.png")
