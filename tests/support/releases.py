"""Small corpora in the layouts of WMT 2014 and IWSLT 2014, as the organisers ship them."""

import gzip
import io
import tarfile
import zipfile
from xml.sax.saxutils import escape

from pipeline_tools import sentences

#: a training pair that newstest2014 holds, and one that is empty on one side
LEAKED = ("Gestern hat der Mann den alten Baum gemalt.", "The man has painted the old tree yesterday.")
EMPTY = ("", "An English sentence alone.")
SIZES = {"europarl": 300, "commoncrawl": 50, "un": 20, "news-commentary": 40, "giga-fren": 30}


def text(pairs, side):
    return "".join(f"{pair[side]}\n" for pair in pairs).encode("utf-8")


def sgm(pairs, side, kind, language):
    """WMT's SGM: no XML, since a bare & may stand in it."""
    half = len(pairs) // 2
    documents = []
    for name, part in (("one", pairs[:half]), ("two", pairs[half:])):
        segments = "".join(f'<seg id="{i}">{pair[side]}</seg>\n' for i, pair in enumerate(part, start=1))
        documents.append(f'<doc sysid="ref" docid="{name}" genre="news" origlang="en">\n<p>\n{segments}</p>\n</doc>\n')
    head = f'<{kind} setid="newstest2014" srclang="any" trglang="{language}">\n'
    return f"{head}{''.join(documents)}</{kind}>\n".encode()


def wmt14(pair="en-de"):
    """Archive -> path in it -> content, for the pair; the other language's words are German for French too."""
    other = pair[3:]
    sets = {name: sentences(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    sets["europarl"][10:12] = [EMPTY, LEAKED]
    sets["commoncrawl"][5] = ("Das\u0085 Auto steht hier heute.", "The car stands here today.")
    dev, test = sentences(12, 50), [*sentences(10, 51), LEAKED, ("Meier & Sohn &lt;neu&gt;", 'Meier & Sons "new"')]
    sides = ((other, 0), ("en", 1))
    files = {
        "training-parallel-europarl-v7.tgz": {
            "training/europarl-v7.cs-en.cs": b"Jin\xc3\xa1 dvojice.\n",
            **{f"training/europarl-v7.{other}-en.{name}": text(sets["europarl"], side) for name, side in sides},
        },
        "training-parallel-commoncrawl.tgz": {
            f"commoncrawl.{other}-en.annotation": b"http://example.org\n",
            **{f"commoncrawl.{other}-en.{name}": text(sets["commoncrawl"], side) for name, side in sides},
        },
        "training-parallel-nc-v9.tgz": {
            f"training/news-commentary-v9.{other}-en.{name}": text(sets["news-commentary"], side)
            for name, side in sides
        },
        "dev.tgz": {f"dev/newstest2013.{name}": text(dev, side) for name, side in sides},
        "test-full.tgz": {
            f"test-full/newstest2014-{other}en-src.en.sgm": sgm(test, 1, "srcset", "any"),
            f"test-full/newstest2014-{other}en-ref.{other}.sgm": sgm(test, 0, "refset", other),
        },
    }
    if pair == "en-fr":
        files["training-parallel-un.tgz"] = {
            f"un/undoc.2000.fr-en.{name}": text(sets["un"], side) for name, side in sides
        }
        files["training-giga-fren.tar"] = {
            f"giga-fren.release2.fixed.{name}.gz": gzip.compress(text(sets["giga-fren"], side)) for name, side in sides
        }
    return files


def iwslt14():
    """File -> content of the release's folder de-en."""
    files = {}
    for side, language in enumerate(("de", "en")):
        training = sentences(120, 7)
        lines = []
        for talk, part in enumerate((training[:50], training[50:])):
            lines += [f"<url>http://example.org/{talk}</url>", "<keywords>talks</keywords>", f"<talkid>{talk}</talkid>"]
            lines += [f"<title>{('Ein Garten & mehr', 'A garden & more')[side]}</title>"]
            lines += [f"<description>{('TED Vortrag', 'TED Talk')[side]} {talk}</description>"]
            lines += [f" {pair[side]} " for pair in part]
        files[f"train.tags.de-en.{language}"] = "".join(f"{line}\n" for line in lines).encode()
        for seed, name in enumerate(("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")):
            pairs = [
                *sentences(4 + seed, 60 + seed),
                ("Das ist Marys\u2019 Auto & mehr", "It\u2019s Mary's car & more"),
            ]
            segments = "".join(f'<seg id="{i}"> {escape(pair[side])} </seg>\n' for i, pair in enumerate(pairs, start=1))
            files[f"IWSLT14.{name}.de-en.{language}.xml"] = (
                '<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n<srcset setid="x" srclang="german">\n'
                f'<doc docid="1" genre="lectures">\n<title>Titel</title>\n{segments}</doc>\n</srcset>\n</mteval>\n'
            ).encode()
    return files


def pack(path, files):
    """Write an archive, as its name says: .tgz, .tar or .zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_unpacked(folder, archives):
    """What is in the archives, as files in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for files in archives.values():
        for name, data in files.items():
            (folder / name.rsplit("/", 1)[-1]).write_bytes(data)
