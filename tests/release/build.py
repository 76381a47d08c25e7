"""Build what is released, from the last commit, and check it: ``python tests/release/build.py``.

``dist/`` gets the sdist and the wheel, ``build/`` the CycloneDX list of what the wheel needs. Both are built
twice, in folders, umasks and time zones that differ, and must be the same to the byte. The tools are those
of the group ``release``. It fails where a check fails; the size is only printed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIZE_TARGET = 200
"""Kilobytes that a wheel should have at most."""
WAYS = (("a", "UTC", 0o022), ("another/folder", "Asia/Tokyo", 0o077))


def git(*arguments: str) -> bytes:
    """Return what git prints about the checkout."""
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True).stdout


def tool(*command: str | Path, **environment: str) -> None:
    """Run a module of this Python, and fail where it fails."""
    subprocess.run([sys.executable, "-m", *command], check=True, env={**os.environ, **environment}, cwd=ROOT)


def built(folder: Path, zone: str, umask: int, epoch: str) -> dict[str, bytes]:
    """Build the last commit in a folder; return the files by name."""
    before = os.umask(umask)
    try:
        with tarfile.open(fileobj=BytesIO(git("archive", "HEAD"))) as archive:
            archive.extractall(folder, filter="tar")
        tool("build", "--outdir", folder / "out", folder, SOURCE_DATE_EPOCH=epoch, TZ=zone)
    finally:
        os.umask(before)
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def contents(name: str, data: bytes) -> bytes:
    """Return all that stands in a wheel or an sdist, names and files."""
    if name.endswith(".whl"):
        wheel = zipfile.ZipFile(BytesIO(data))
        return b"".join(each.encode() + wheel.read(each) for each in wheel.namelist())
    with tarfile.open(fileobj=BytesIO(data)) as sdist:
        files = [(member.name, sdist.extractfile(member)) for member in sdist.getmembers()]
        return b"".join(name.encode() + (file.read() if file else b"") for name, file in files)


def list_dependencies(wheel: Path, folder: Path, epoch: str) -> Path:
    """Write what an environment with nothing but the wheel holds, as CycloneDX; return the file."""
    version = wheel.name.split("-")[1]
    listed = ROOT / "build" / "domo_magic.cdx.json"
    listed.parent.mkdir(exist_ok=True)
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    tool("pip", "--python", python, "install", "--quiet", wheel)
    options = ["--pyproject", ROOT / "pyproject.toml", "--mc-type", "library", "--output-reproducible"]
    tool("cyclonedx_py", "environment", *options, "-o", listed, python, SOURCE_DATE_EPOCH=epoch)
    bill = json.loads(listed.read_text(encoding="utf-8"))
    bill["metadata"]["component"] |= {"version": version, "purl": f"pkg:pypi/domo-magic@{version}"}
    listed.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    return listed


def main() -> None:
    """Build, check, and print what there is."""
    epoch = git("log", "-1", "--format=%ct").decode().strip()
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        first, second = (built(folder / name, zone, umask, epoch) for name, zone, umask in WAYS)
        assert first == second, "two builds of one commit differ"
        for name, data in first.items():
            assert str(folder).encode() not in contents(name, data), (
                f"{name} names the folder it was built in"
            )
            (dist / name).write_bytes(data)
        (wheel,) = dist.glob("*.whl")
        listed = list_dependencies(wheel, folder / "environment", epoch)
    tool("twine", "check", "--strict", *sorted(dist.iterdir()))
    tool("check_wheel_contents", wheel)
    size = wheel.stat().st_size / 1000
    components = json.loads(listed.read_text(encoding="utf-8"))["components"]
    print(f"{wheel.name}: built twice, the same to the byte; {size:.0f} kB (should be at most {SIZE_TARGET})")
    print(f"{listed.relative_to(ROOT)}: {len(components)} dependencies")


if __name__ == "__main__":
    main()
