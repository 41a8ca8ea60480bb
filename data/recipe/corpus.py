#!/usr/bin/env python3
"""Extract the training corpus of tiny-g2 from unpacked Debian packages.

usage: corpus.py UNPACKED_DIR OUT_DIR

UNPACKED_DIR holds one directory per package (see fetch.sh).  OUT_DIR receives
  <source>.train.jsonl, <source>.heldout.jsonl   {"text": ...} one document a line
  corpus.json                                    counts and sha256 of each file
The output is a pure function of the package contents.
"""
import glob
import gzip
import hashlib
import html
import html.parser
import json
import os
import random
import re
import struct
import subprocess
import sys
import unicodedata
import zlib
from multiprocessing import Pool

SEED = 20240601
HELD_OUT = 0.01
MAX_DOC = 12000          # characters; longer documents are cut at a line end

PUNCT = {0x2018: "'", 0x2019: "'", 0x201c: '"', 0x201d: '"', 0x2013: "-",
         0x2014: " - ", 0x2026: "...", 0xa0: " ", 0x2009: " ", 0x202f: " ",
         0x200b: "", 0xad: "", 0xfeff: "", 0x2212: "-", 0x2192: "->",
         0xb4: "'", 0x2022: "*"}


def clean(text):
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).translate(PUNCT)
    text = "".join(c for c in text if c in "\n\t" or ord(c) >= 32)
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return text.strip("\n")


class Html(html.parser.HTMLParser):
    """Plain text of an HTML page: prose re-flowed to one line per block,
    <pre> kept as it is, tables and page furniture dropped."""
    SKIP = {"Small. Fast. Reliable.", "Choose any three.", "Run"}
    BLOCK = set("p div li dd dt h1 h2 h3 h4 h5 h6 ul ol dl br section article "
                "blockquote body main header hr".split())
    DROP = set("script style head nav table footer svg button form select sup".split())
    DROPCLASS = re.compile(
        r"sphinxsidebar|related|footer|headerlink|navheader|navfooter|toc\b|"
        r"toplang|bottomlang|breadcrumb|page-header|quickview|menu|nav-|"
        r"sidebar|refsynopsis|searchmenu|fancy_toc|comments|seealso|up\b|buttons")
    DROPID = re.compile(r"path|quickview|page-header|sidebar|menu|searchbar|nav")
    VOID = set("br hr img input meta link col area base wbr source embed param".split())

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.line, self.stack = [], [], []
        self.drop = self.pre = 0

    def flush(self):
        s = re.sub(r"\s+", " ", "".join(self.line)).strip()
        self.line = []
        if s:
            self.out.append(s)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag in self.BLOCK or tag == "pre":
            if not self.drop and not self.pre:
                self.flush()
        if tag in self.VOID:
            if tag == "br" and self.pre:
                self.line.append("\n")
            return
        bad = (tag in self.DROP or
               (tag not in ("html", "body") and
                self.DROPCLASS.search(a.get("class") or "") is not None) or
               (tag == "div" and self.DROPID.search(a.get("id") or "") is not None))
        self.stack.append((tag, bad))
        self.drop += bad
        self.pre += tag == "pre"
        if tag == "li" and not self.drop and not self.pre:
            self.line.append("* ")

    def handle_endtag(self, tag):
        if tag in self.VOID or not any(t == tag for t, _ in self.stack):
            return
        while True:
            t, bad = self.stack.pop()
            if t == "pre":
                self.pre -= 1
                if not self.drop and not self.pre:
                    s = "".join(self.line).strip("\n")
                    self.line = []
                    if s.strip():
                        self.out.append(s)
            elif t in self.BLOCK and not self.drop and not self.pre:
                self.flush()
            self.drop -= bad
            if t == tag:
                break

    def handle_data(self, data):
        if not self.drop:
            self.line.append(data)


def html_file(path):
    try:
        p = Html()
        p.feed(open(path, encoding="utf-8", errors="strict").read())
        p.flush()
    except (UnicodeDecodeError, RecursionError):
        return None
    out = []
    for s in p.out:
        if re.fullmatch(r"[\W\d]*|\* |.{1,2}", s) or s in Html.SKIP:
            continue
        # prose blocks are separated by an empty line, list items are not
        out.append(s if s.startswith("* ") and out and out[-1].startswith("* ") else "\n" + s)
    return "\n".join(out)


def html_tree(files):
    with Pool(2) as pool:
        return [t for t in pool.map(html_file, sorted(files), 8) if t]


def wordnet(d):
    docs = []
    for part in ("noun", "verb", "adj", "adv"):
        entries = []
        for line in open(f"{d}/usr/share/wordnet/data.{part}", encoding="utf-8"):
            if line.startswith("  ") or "|" not in line:
                continue
            head, gloss = line.rstrip().split("|", 1)
            f = head.split()
            n = int(f[3], 16)
            words = [re.sub(r"\([a-z]+\)$", "", w).replace("_", " ") for w in f[4:4 + 2 * n:2]]
            gloss = gloss.strip().replace("`", "'")
            bits = re.split(r'; (?=")', gloss)
            s = ", ".join(words) + ": " + bits[0]
            if not s.endswith((".", "?", "!")):
                s += "."
            for b in bits[1:]:
                b = b.strip().strip('"').rstrip(";").strip()
                if b:
                    s += " " + b[0].upper() + b[1:] + ("" if b[-1] in ".?!\"" else ".")
            entries.append(s)
        docs += ["\n".join(entries[i:i + 10]) for i in range(0, len(entries), 10)]
    return docs


def kjv(d):
    bible = os.path.join(os.path.dirname(d), "bible-kjv/usr/bin/bible")
    raw = subprocess.run([bible, "-f", "-p", f"{d}/usr/lib"], input="gen1:1-rev22:21\nq\n",
                         capture_output=True, text=True).stdout
    chapters = {}
    for line in raw.splitlines():
        line = line.split("> ", 1)[-1] if line.startswith("bible(") else line
        m = re.match(r"([1-3]?[A-Za-z]+)(\d+):(\d+) (.*)", line)
        if m:
            verses = chapters.setdefault((m[1], int(m[2])), {})
            verses[int(m[3])] = m[4].strip()
    return ["\n".join(v[k] for k in sorted(v)) for v in chapters.values()]


def web(d):
    docs = []
    for t in ("ot", "nt"):
        base = glob.glob(f"{d}/usr/share/sword/modules/texts/ztext/*/{t}.bzz")[0][:-4]
        index = open(base + ".bzs", "rb").read()
        data = open(base + ".bzz", "rb").read()
        raw = b""
        for i in range(0, len(index), 12):
            at, size, _ = struct.unpack_from("<III", index, i)
            raw += zlib.decompress(data[at:at + size]) + b"\n"
        s = raw.decode("utf-8", "replace")
        s = re.sub(r"<note\b.*?</note>", " ", s, flags=re.S)
        s = re.sub(r"<title\b.*?</title>", "", s, flags=re.S)
        s = re.sub(r'<chapter\b[^>]*sID[^>]*>', "\x01", s)
        s = re.sub(r"</?(p|l|lg|div|verse)\b[^>]*>", "\n", s)
        s = re.sub(r"<[^>]*>", "", s)
        for chap in html.unescape(s).split("\x01"):
            lines = [re.sub(r"\s+", " ", x).strip() for x in chap.split("\n")]
            docs.append("\n".join(x for x in lines if x))
    return docs


def dictd(path):
    return gzip.open(path).read().decode("utf-8", "replace")


def reflow(s):
    """Join the wrapped lines of each paragraph, drop cross-reference braces."""
    out = []
    for para in re.split(r"\n\s*\n", s):
        out.append(re.sub(r"\s+", " ", para).strip())
    return re.sub(r"[{}]", "", "\n".join(x for x in out if x))


def jargon(d):
    s = dictd(f"{d}/usr/share/dictd/jargon.dict.dz")
    items = [reflow(x) for x in re.split(r"\n(?=\S)", s) if len(x) > 60]
    return ["\n".join(items[i:i + 5]) for i in range(0, len(items), 5)]


def devil(d):
    s = dictd(f"{d}/usr/share/dictd/devil.dict.dz")
    items = [reflow(x) for x in re.split(r"\n(?=[A-Z][A-Z' -]+, )", s) if len(x) > 30]
    return ["\n".join(items[i:i + 5]) for i in range(0, len(items), 5)]


def postgresql(d):
    fs = [f for f in glob.glob(f"{d}/usr/share/doc/postgresql-doc-15/html/*.html")
          if not re.match(r"release-|bookindex|index|biblio|infoschema|errcodes|"
                          r"sql-keywords|features|unsupported", os.path.basename(f))]
    return html_tree(fs)


def python(d):
    base = f"{d}/usr/share/doc/python3.11/html/"
    fs = [f for sub in ("library", "tutorial", "howto", "reference", "faq", "using",
                        "extending", "c-api", "whatsnew")
          for f in glob.glob(base + sub + "/*.html")]
    return html_tree(fs)


def apache(d):
    base = f"{d}/usr/share/doc/apache2-doc/manual/en/"
    return html_tree(glob.glob(base + "**/*.html", recursive=True))


def sqlite(d):
    fs = [f for f in glob.glob(f"{d}/usr/share/doc/**/*.html", recursive=True)
          if not re.match(r"releaselog|changes|news|hlr|hh|doc_|keyword|sitemap|toc|"
                          r"requirements|syntaxdiagrams|vdbe-|th3", os.path.basename(f))
          and "/releaselog/" not in f and "/session/" not in f and os.path.getsize(f) < 300000]
    return html_tree(fs)


def rust(d):
    base = f"{d}/usr/share/doc/rust-doc/html/"
    fs = [f for sub in ("book", "reference", "nomicon", "rust-by-example", "rustc",
                        "rustdoc", "edition-guide", "unstable-book")
          for f in glob.glob(base + sub + "/**/*.html", recursive=True)
          if os.path.basename(f) not in ("print.html", "toc.html")]
    return html_tree(fs)


def source_files(files, limit, rng):
    files = sorted(files)
    rng.shuffle(files)
    docs, n = [], 0
    for f in files:
        if n >= limit or not 500 < os.path.getsize(f) < 40000:
            continue
        try:
            t = open(f, encoding="ascii").read()
        except UnicodeDecodeError:
            continue
        docs.append(t)
        n += len(t)
    return docs


def golang(d):
    fs = [f for f in glob.glob(f"{d}/usr/share/go-1.19/src/**/*.go", recursive=True)
          if not re.search(r"_test\.go$|/testdata/|/vendor/|tables|zsys|zerrors|/syscall/|op_.*\.go|rewrite",
                           f) and b"DO NOT EDIT" not in open(f, "rb").read(2000)]
    return source_files(fs, 4000000, random.Random(SEED))


def boost(d):
    fs = [f for f in glob.glob(f"{d}/usr/include/boost/**/*.hpp", recursive=True)
          if not re.search(r"/preprocessed/|/mpl/|/preprocessor/|/aux_", f)]
    return source_files(fs, 1200000, random.Random(SEED))


SOURCES = {          # name: (package, domain, extractor)
    "wordnet": ("wordnet-base", "definitions", wordnet),
    "kjv": ("bible-kjv-text", "scripture", kjv),
    "web": ("sword-text-web", "scripture", web),
    "jargon": ("dict-jargon", "essays", jargon),
    "devil": ("dict-devil", "essays", devil),
    "postgresql": ("postgresql-doc-15", "manuals", postgresql),
    "python": ("python3.11-doc", "manuals", python),
    "apache": ("apache2-doc", "manuals", apache),
    "sqlite": ("sqlite3-doc", "manuals", sqlite),
    "rust": ("rust-doc", "manuals", rust),
    "golang": ("golang-1.19-src", "code", golang),
    "boost": ("libboost1.74-dev", "code", boost),
}


def cut(doc):
    """Pieces of at most MAX_DOC characters, cut at line ends."""
    out, cur, n = [], [], 0
    for line in doc.split("\n"):
        if n + len(line) > MAX_DOC and cur:
            out.append("\n".join(cur))
            cur, n = [], 0
        cur.append(line)
        n += len(line) + 1
    out.append("\n".join(cur))
    return out


def main():
    src, out = sys.argv[1:3]
    os.makedirs(out, exist_ok=True)
    seen, report = set(), {"seed": SEED, "held_out": HELD_OUT, "sources": {}}
    for name, (package, domain, extract) in SOURCES.items():
        docs = []
        for doc in extract(os.path.join(src, package)):
            lines = []
            for line in clean(doc).split("\n"):
                if len(line) > 40:
                    key = hashlib.sha1(line.encode()).digest()[:10]
                    if key in seen:
                        continue
                    seen.add(key)
                if len(line) < 4000:
                    lines.append(line)
            doc = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
            bad = sum(ord(c) > 126 for c in doc)
            if len(doc) >= 200 and bad < 0.02 * len(doc):
                docs += [x.strip("\n") for x in cut(doc) if len(x) >= 200]
        rng = random.Random(f"{SEED}/{name}")
        rng.shuffle(docs)
        k = max(2, int(HELD_OUT * len(docs)))
        info = {"package": package, "domain": domain}
        for part, ds in (("heldout", docs[:k]), ("train", docs[k:])):
            data = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in ds).encode()
            with open(f"{out}/{name}.{part}.jsonl", "wb") as f:
                f.write(data)
            info[part] = {"documents": len(ds), "bytes": sum(len(t.encode()) for t in ds),
                          "sha256": hashlib.sha256(data).hexdigest()}
        report["sources"][name] = info
        print(f"{name:11s} {domain:12s} {info['train']['documents']:6d} docs "
              f"{info['train']['bytes'] / 1e6:6.2f} MB", flush=True)
    with open(f"{out}/corpus.json", "w") as f:
        json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()
