"""The site: `nox -s docs`. Nothing that it shows is asked of another host when a reader opens it."""

import os
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from urllib.request import urlopen

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent / "src")]

import multisched  # noqa: E402

PROJECT = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project, author, release = "multisched", "The multisched developers", multisched.__version__
project_copyright = author
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "options",  # those in _ext
    "links",
    "levels",
]
exclude_patterns = ["_build", "jupyter_execute", "auto_gallery/*.py", "auto_gallery/*.zip", "auto_gallery/*.ipynb"]
exclude_patterns += ["auto_gallery/*.json", "sg_execution_times.rst", "auto_gallery/sg_execution_times.rst"]
suppress_warnings = ["autosummary.import_cycle"]

# Docstrings: `options` completes their sections, `napoleon` reads them, `links` makes links of the names in them.
default_role = "code"
smartquotes_action = "D"  # dashes alone: words of options keep the marks that they are typed with
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
autosummary_generate = False
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Notebooks and programs run when the site is built; one that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 4
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_gallery",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "image_srcset": ["2x"],
    "min_reported_time": 3600,
    "notebook_images": False,
    "plot_gallery": "True",
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["PYTHONPATH"] = str(DOCS.parent / "src")  # for the processes that notebooks run in

# One file of MathJax, which draws letters as SVG and so needs no font; of the 24 MB of its package no other is taken.
MATHJAX = "sphinx-mathjax-offline"
html_static_path = ["_static", str(distribution(MATHJAX).locate_file(f"{MATHJAX}/static/mathjax/tex-svg.js"))]
mathjax_path = "tex-svg.js"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "multisched"
html_context = {"default_mode": "auto"}
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_sidebars = {"*": []}  # a page at the top has no section to show
html_show_sourcelink = False
html_copy_source = False
URLS = PROJECT.get("urls", {})
html_baseurl = URLS.get("Documentation", "")
html_theme_options = {
    "header_links_before_dropdown": 6,
    "icon_links": [{"name": "Source", "url": URLS["Source"], "icon": "fa-brands fa-github"}] if URLS else [],
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def _inventory(name: str, url: str) -> dict[str, tuple[str, str]]:
    """Another library's names, for links to them, where its host answers; without it the names are no links."""
    file = DOCS / "_build" / "inventories" / f"{name}.inv"
    if not file.exists():
        try:
            with urlopen(f"{url}objects.inv", timeout=5) as answer:
                content = answer.read()
        except OSError:
            return {}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return {name: (url, str(file))}


OTHERS = {
    "jax": "https://docs.jax.dev/en/latest/",
    "numpy": "https://numpy.org/doc/stable/",
    "python": "https://docs.python.org/3/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
intersphinx_mapping = {key: value for name, url in OTHERS.items() for key, value in _inventory(name, url).items()}
