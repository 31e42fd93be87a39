"""mkdocs: what pages link to beside docs/, such as the pages under examples/, becomes part of the site.

Links are written as they are followed in a checkout: ``../examples/benchmarks/README.md`` from a page in docs/. In the
site the project's folder and docs/ are one.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")


def place(page, root):
    """Where a page of the site stands in the checkout."""
    return page if (root / page).is_file() and not (root / "docs" / page).is_file() else f"docs/{page}"


def target(page, link):
    """The file, seen from the project's folder, that a page of the checkout links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link.replace("\\", "")))


def on_files(files, config):
    """Add what is linked to, and what that links to."""
    root = Path(config.config_file_path).parent
    waiting = [place(file.src_uri, root) for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for link in LINK.findall((root / page).read_text(encoding="utf-8")):
            found = target(page, link)
            if found.startswith(("docs/", "../")) or not (root / found).is_file() or files.get_file_from_path(found):
                continue
            files.append(File(found, str(root), config.site_dir, config.use_directory_urls))
            if found.endswith(".md"):
                waiting.append(found)
    return files


def on_page_markdown(markdown, page, config, files):
    """Write links as the site has them."""
    root = Path(config.config_file_path).parent
    here = place(page.file.src_uri, root)

    def rewritten(match):
        site = target(here, match[1])
        site = site[len("docs/") :] if site.startswith("docs/") else site
        if files.get_file_from_path(site) is None:
            return match[1]
        return posixpath.relpath(site, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(rewritten, markdown)


def on_page_content(html, page, config, files):
    """Docstrings name things by Sphinx's roles; the name alone is what a reader wants."""
    return ROLE.sub("", html)
