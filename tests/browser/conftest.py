"""A Jupyter server with nothing of the user's, a sandbox behind it, and a Chromium in front of it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

PATIENCE_MS = 30_000
ARTEFACTS = Path(__file__).parents[1] / "artefacts"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
_FLAGS = [
    *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    *["--disable-background-networking", "--disable-component-update", "--disable-sync"],
]
# Playwright waits for a promise as long as it takes: it must end by itself.
_READY = """() => {
  const ready = async () => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = app.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    app.shell.collapseLeft();
  };
  const late = new Promise((_, fail) => setTimeout(fail, 30000, 'no kernel in time'));
  return Promise.race([late, ready()]);
}"""
_RUN = """cells => {
  const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
  model.deleteCellRange(0, model.cells.length);
  model.insertCells(0, cells.map(source => ({cell_type: 'code', source, metadata: {}, outputs: []})));
  window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one process run all of these tests, where there are several: they share the server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


def _chromium(own: str) -> str | None:
    """Return a browser: Playwright's own, or one that is installed."""
    found = [own, *map(shutil.which, _BROWSERS), *_PLACES]
    return next((path for path in found if path and Path(path).exists()), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        path = _chromium(driver.chromium.executable_path)
        if path is None:
            pytest.skip(
                "no browser: neither Playwright's own (playwright install chromium), Chromium nor Chrome"
            )
        one = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield one
        one.close()


@pytest.fixture(scope="session")
def domo_server() -> Iterator[Sandbox]:
    """Give the sandbox that the kernels' environment leads to."""
    with Sandbox() as one:
        yield one


class Jupyter:
    """A running server.

    Parameters
    ----------
    url, token : str
        Where, and what it asks for.
    root : Path
        Its notebooks.
    """

    def __init__(self, url: str, token: str, root: Path) -> None:
        self.url, self.token, self.root = url, token, root

    def write(self, name: str) -> Path:
        """Write an empty notebook."""
        path = self.root / f"{name}.ipynb"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"cells": [], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        path.write_text(json.dumps(notebook))
        return path


def _settings(folder: Path) -> None:
    """Turn off what asks a user, and turn on that widgets are saved in the notebook."""
    for name, text in {
        "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false"}',
        "@jupyter-widgets/jupyterlab-manager/plugin": '{"saveState": true}',
    }.items():
        path = folder / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory, domo_server: Sandbox) -> Iterator[Jupyter]:
    """Give a server of JupyterLab and Notebook 7, whose kernels know the sandbox from the environment."""
    home = tmp_path_factory.mktemp("jupyter")
    root = home / "notebooks"
    root.mkdir()
    folders = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    env = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("DOMO_", "JUPYTER"))
    }
    env |= {f"JUPYTER_{name}".replace("JUPYTER_LAB_", "JUPYTERLAB_"): str(home / name) for name in folders}
    env |= {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "DOMO_MAGIC_HOME": str(home / "domo")}
    env |= {"DOMO_HOST": domo_server.url, "DOMO_ACCESS_TOKEN": domo_server.token, "MPLBACKEND": "agg"}
    env |= {"PYTHONPATH": str(Path(__file__).parents[2]), "TZ": "Europe/Berlin"}
    _settings(home / "LAB_SETTINGS_DIR")
    token = secrets.token_hex(8)
    options = [
        *["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"],
        *[f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"],
        *["--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"],
    ]
    command = [sys.executable, "-m", "jupyterlab", *options]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=root
    ) as server:
        try:
            yield Jupyter(_address(server), token, root)
        finally:
            server.kill()


def _address(server: subprocess.Popen[bytes]) -> str:
    """Return where the server listens, when it says so; what it says later is read on and dropped."""
    assert server.stderr is not None
    said = b""
    for line in server.stderr:
        said += line
        if found := re.search(rb"http://127\.0\.0\.1:[0-9]+/", line):
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return found[0].decode()
    return pytest.fail(said.decode())


class Notebook:
    """A notebook in a page, for one test after the other: loading the page takes longer than a test.

    Parameters
    ----------
    page : Page
        Where it is open.
    path : Path
        Its file.
    """

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.path = page, path

    def ready(self) -> None:
        """Wait until it can run cells."""
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context !== undefined")
        self.page.evaluate(_READY)

    def run(self, *cells: str, width: int = 1280, dark: bool = False) -> None:
        """Replace its cells and run them; a panel `p` of an earlier test is closed."""
        theme = f"JupyterLab {'Dark' if dark else 'Light'}"
        height = 1000 if width > 500 else 2000  # so that a narrow panel is in view as a whole
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate(
            "theme => { window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }", theme
        )
        self.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        self.page.evaluate(_RUN, ["%load_ext domo_magic", "globals().get('p') and p.close()", *cells])

    def save(self) -> dict[str, Any]:
        """Save it, and return what is in the file."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found


@pytest.fixture(scope="module")
def open_notebook(browser: Browser, jupyter: Jupyter) -> Iterator[Callable[[str, str], Notebook]]:
    """Give a function that opens a notebook of a name in JupyterLab or Notebook 7."""
    contexts = []

    def open_one(where: str, name: str) -> Notebook:
        path = jupyter.write(name)
        context = browser.new_context(reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{jupyter.url}{where}/{name}.ipynb?token={jupyter.token}")
        notebook = Notebook(page, path)
        notebook.ready()
        return notebook

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Give a function that keeps a screenshot of a part of a page."""

    def one(part: Any, name: str = "") -> None:
        ARTEFACTS.mkdir(exist_ok=True)
        part.screenshot(path=ARTEFACTS / f"{name or request.node.name}.png")

    return one
