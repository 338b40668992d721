"""The page of the benchmark in a real browser: that it is whole, needs nothing from outside, and fits and can be read.

Environment: MXWAY_BENCH_PAGE is the program that writes a page of invented figures (test_bench_report of
tests/unit); MXWAY_BENCH is mxway-bench, whose page of a short real run is opened too where it is given.
"""
import base64
import json
import html.parser
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE_WRITER = os.environ.get("MXWAY_BENCH_PAGE", str(ROOT / "build/dev/tests/unit/test_bench_report"))
BENCH = os.environ.get("MXWAY_BENCH")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
           "--disable-background-networking", "--disable-component-update", "--disable-extensions",
           "--disable-dev-shm-usage", "--hide-scrollbars"]
SESSIONS = ("four", "one", "open", "search", "hostile", "empty", "none")
# The browser's setting of prefers-color-scheme.
SCHEMES = {"dark": "0", "light": "1"}
# Elements without an end tag, in HTML and as the browser prints it.
VOID = {"meta"}
TIMEOUT_S = 120

WIDTHS = (320, 390, 768, 1000, 1200)
# Shows the page in frames of several widths at once, and writes down what each says of itself.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><title>waiting</title><body style="margin:0">{frames}<p></p>
<script>onmessage = event => {{ document.querySelector("p").textContent += "[RESULT:" + btoa(event.data) + ":]"; }};
</script>"""

MEASURE = r"""<script>
function rgb(text) { return text.match(/[\d.]+/g).map(Number); }
function luminance(c) {
  const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    const c = rgb(getComputedStyle(at).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c;
  }
  return [255, 255, 255];
}
function contrast(a, b) {
  const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m);
  return (x + 0.05) / (y + 0.05);
}
addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const outside = [], faint = [], crossing = [];
  const labels = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (!element.getClientRects().length || element.closest("thead, script, title, desc")) continue;
    const box = element.getBoundingClientRect();
    const text = [...element.childNodes].filter(n => n.nodeType == 3).map(n => n.textContent.trim()).join("");
    if (box.right > innerWidth + 0.5 || box.left < -0.5)
      outside.push([element.tagName, element.className.baseVal ?? element.className, text, box.left, box.right]);
    if (!text) continue;
    const style = getComputedStyle(element);
    const ink = rgb(element instanceof SVGElement ? style.fill : style.color);
    const ratio = contrast(ink, ground(element));
    if (ratio < 4.5) faint.push([element.tagName, text, ratio]);
    if (element.tagName == "text") labels.push([element, box]);
  }
  for (const [a, p] of labels) for (const [b, q] of labels)
    if (a != b && a.closest("figure") == b.closest("figure") && p.left < q.right - 1 && q.left < p.right - 1 &&
        p.top < q.bottom - 3 && q.top < p.bottom - 3) crossing.push([a.textContent, b.textContent]);
  parent.postMessage(JSON.stringify({
    width: innerWidth, scroll: document.documentElement.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches, outside, faint, crossing,
    texts: document.body.innerText.length}).replace(/[\u0080-\uffff]/g, "?"), "*");
});
</script></body>"""


class Outline(html.parser.HTMLParser):
    """What a page is made of; complains of tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.tags, self.texts, self.pictures = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "svg" and dict(attrs).get("role") == "img":
            self.pictures.append(set())
        elif tag in ("title", "desc") and "svg" in self.open and self.pictures:
            self.pictures[-1].add(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def outline_of(text):
    outline = Outline()
    outline.feed(text)
    outline.close()
    return outline


class BenchPage(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mxway-page-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write_page(self, session="four"):
        path = self.folder / f"{session}.html"
        subprocess.run([PAGE_WRITER, "--page", str(path), session], check=True, timeout=TIMEOUT_S)
        return path

    def browse(self, path, *options):
        """The document as the browser has it after its scripts have run."""
        if BROWSER is None:
            self.skipTest("SKIPPED: there is no chromium here to open the page with")
        profile = tempfile.mkdtemp(dir=self.folder)
        run = subprocess.run([BROWSER, *OPTIONS, f"--user-data-dir={profile}", "--virtual-time-budget=5000", *options,
                              "--dump-dom", path.as_uri()],
                             capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def measure(self, page, widths=WIDTHS, scheme="light"):
        """How the page lies in windows of these widths: what MEASURE says of each."""
        text = page.read_text()
        self.assertEqual(text.count("</body>"), 1)
        measured = self.folder / f"measured-{page.stem}.html"
        measured.write_text(text.replace("</body>", MEASURE))
        frames = "".join(f'<iframe src="{measured.name}" style="border:0;width:{width}px;height:900px"></iframe>'
                         for width in widths)
        outer = self.folder / f"frames-{page.stem}.html"
        outer.write_text(FRAME.format(frames=frames))
        dom = self.browse(outer, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
                          "--allow-file-access-from-files", "--window-size=1400,1000")
        results = [json.loads(base64.b64decode(found)) for found in re.findall(r"\[RESULT:([\w+/=]+):\]", dom)]
        self.assertEqual(sorted(result["width"] for result in results), sorted(widths), dom[-500:])
        for result in results:
            self.assertEqual(result["dark"], scheme == "dark")
        return results

    def test_the_browser_keeps_every_part(self):
        for session in SESSIONS:
            with self.subTest(session):
                path = self.write_page(session)
                written, shown = outline_of(path.read_text()), outline_of(self.browse(path))
                self.assertEqual(written.wrong, [])
                self.assertEqual(written.open, [])
                # A tag that was moved, closed early or made out of text would show here.
                self.assertEqual([tag for tag, _ in written.tags], [tag for tag, _ in shown.tags])
                self.assertEqual("".join("".join(written.texts).split()), "".join("".join(shown.texts).split()))

    def test_nothing_comes_from_outside(self):
        for session in SESSIONS:
            with self.subTest(session):
                text = self.write_page(session).read_text()
                outline = outline_of(text)
                for tag, attributes in outline.tags:
                    self.assertNotIn(tag, ("script", "link", "img", "iframe", "object", "embed", "base", "form"))
                    self.assertNotIn("src", attributes)
                    self.assertTrue(attributes.get("href", "#").startswith("#"), attributes)
                    self.assertFalse([name for name in attributes if name.startswith("on")], attributes)
                self.assertNotRegex(text, r"(?i)https?:|url\(|@import|javascript:")

    def test_pictures_and_tables_say_what_they_are(self):
        for session in ("four", "one", "open"):
            with self.subTest(session):
                outline = outline_of(self.write_page(session).read_text())
                self.assertTrue(outline.pictures)
                for picture in outline.pictures:
                    self.assertEqual(picture, {"title", "desc"})
                heads = [attributes.get("scope") for tag, attributes in outline.tags if tag == "th"]
                self.assertTrue(heads and set(heads) == {"col", "row"}, heads)
                tags = [tag for tag, _ in outline.tags]
                self.assertEqual(tags.count("table"), tags.count("caption"))
                self.assertEqual(tags.count("h1"), 1)

    def expect_fitting(self, result):
        with self.subTest(width=result["width"]):
            self.assertLessEqual(result["scroll"], result["width"])
            self.assertEqual(result["outside"], [])

    def test_it_fits_any_window(self):
        for session in SESSIONS:
            with self.subTest(session):
                for result in self.measure(self.write_page(session)):
                    self.expect_fitting(result)

    def test_labels_do_not_lie_on_one_another(self):
        for session in ("four", "one", "open"):
            for result in self.measure(self.write_page(session)):
                with self.subTest(session=session, width=result["width"]):
                    self.assertEqual(result["crossing"], [])

    def test_it_can_be_read_in_light_and_dark(self):
        for scheme in SCHEMES:
            for session in ("four", "hostile"):
                for result in self.measure(self.write_page(session), (320, 1200), scheme):
                    with self.subTest(scheme=scheme, session=session, width=result["width"]):
                        self.assertGreater(result["texts"], 1000)
                        self.assertEqual(result["faint"], [])

    def test_a_real_run_makes_such_a_page(self):
        if not BENCH:
            self.skipTest("SKIPPED: MXWAY_BENCH names no mxway-bench")
        path = self.folder / "real.html"
        run = subprocess.run([BENCH, "-s", "null", "--gen", "uniform:n=1000", "-c", "2", "-q", "4", "-l", "1", "--runs", "2",
                              "--html", str(path)], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("Lookups answered by null", self.browse(path))
        for result in self.measure(path):
            self.expect_fitting(result)


if __name__ == "__main__":
    unittest.main()
