"""A stand-in for python:3.12-slim, made on this machine: for building the image where no registry can be reached.

Debian's minimal system with the libraries that Python's own image has, and a CPython tree of this machine in
/usr/local. It is kept between runs, as are the wheels that the build installs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.unavailable import ServiceUnavailable

NAME = "docker.io/library/python:3.12-slim"
PYTHON = "python3.12"
PYTHON_VARIABLE = "TORPOR_TEST_IMAGE_PYTHON"
"""Names a CPython of the image's version that was installed into a folder of its own."""

_SUITE = "bookworm"
_PACKAGES = (
    "ca-certificates", "libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libncursesw6", "libreadline8", "libsqlite3-0",
    "libssl3", "zlib1g",
)  # fmt: skip
_TOOLS = ("buildah", "debootstrap", "unshare")


class Builder:
    """buildah with a storage of its own below a folder, and without an engine.

    Args:
        folder: where images, containers and wheels are kept between runs.

    Raises:
        ServiceUnavailable: a tool is missing; the message says which and what to do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if sys.platform != "linux" or os.geteuid() != 0:
            raise ServiceUnavailable("an image is only built by root on Linux: debootstrap and chroot need it")
        missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
        if missing:
            raise ServiceUnavailable(f"missing {', '.join(missing)}: apt-get install buildah debootstrap util-linux")
        self.python = _find_python()

    def buildah(self, *arguments: str) -> str:
        """Run buildah; what it answered.

        Raises:
            AssertionError: it failed; the message has the end of what it said.
        """
        storage = ("--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run", "--storage-driver", "vfs")
        # Nothing of this machine's settings goes into an image but PATH, which buildah itself needs.
        environment = {"PATH": os.environ["PATH"], "HOME": f"{self.folder}", "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(
            ["buildah", *storage, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, f"buildah {' '.join(arguments)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def provide_base(self) -> None:
        """Make the stand-in, if it is not there from an earlier run.

        Raises:
            ServiceUnavailable: Debian's packages could not be had.
        """
        known = f"{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()} {self.python}"
        stamp = self.folder / "base.stamp"
        if stamp.exists() and stamp.read_text() == known:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        root = self.folder / "base"
        shutil.rmtree(root, ignore_errors=True)
        _run(["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(root)])
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        _copy_python(self.python, root / "usr/local")
        _run(["chroot", str(root), "/sbin/ldconfig"])
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, str(root), "/")
        self.buildah("config", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        self.buildah("config", "--cmd", PYTHON, container)
        self.buildah("commit", "--quiet", "--rm", container, NAME)
        shutil.rmtree(root)
        stamp.write_text(known)

    def provide_wheels(self, lock: Path) -> Path:
        """Download what a lock names, if that was not done by an earlier run: the build itself asks no index.

        Returns:
            The folder with the wheels and with a `pip.conf` that names it as /wheels.

        Raises:
            ServiceUnavailable: they could not be had.
        """
        known = hashlib.sha256(lock.read_bytes()).hexdigest()
        wheels = self.folder / "wheels"
        stamp = wheels / "lock.stamp"
        if stamp.exists() and stamp.read_text() == known:
            return wheels
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir(parents=True)
        command = [f"{self.python}/bin/{PYTHON}", "-m", "pip", "download", "--quiet", "--require-hashes"]
        _run([*command, "--only-binary=:all:", "--requirement", str(lock), "--dest", str(wheels)])
        (wheels / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        stamp.write_text(known)
        return wheels


def _find_python() -> Path:
    """The folder that a CPython of the image's version was installed into."""
    named = os.environ.get(PYTHON_VARIABLE)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{PYTHON.removeprefix('python')}.*/bin/{PYTHON}"))
    for python in [named] if named else [shutil.which(PYTHON), *installed]:
        if python and (prefix := _prefix_of(python)):
            return prefix
    raise ServiceUnavailable(
        f"no {PYTHON} in a folder of its own, to copy into the stand-in of {NAME}: name one in {PYTHON_VARIABLE}"
    )


def _prefix_of(python: str | Path) -> Path | None:
    """Where this interpreter was installed, if it works, has the image's version, and is not the system's."""
    code = "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    prefix, _, version = asked.stdout.strip().rpartition(" ")
    fits = asked.returncode == 0 and f"python{version}" == PYTHON and prefix not in ("/", "/usr")
    return Path(prefix) if fits else None


def _copy_python(source: Path, target: Path) -> None:
    """Copy an interpreter with its library and pip, and nothing else that was installed for it."""
    packages = target / f"lib/{PYTHON}/site-packages"
    skipped = shutil.ignore_patterns("test", "tests", "idlelib", "__pycache__", "site-packages")
    shutil.copytree(source / f"lib/{PYTHON}", target / f"lib/{PYTHON}", ignore=skipped, dirs_exist_ok=True)
    for library in source.glob("lib/libpython3*.so*"):
        shutil.copy2(library, target / "lib", follow_symlinks=False)
    for each in (source / f"lib/{PYTHON}/site-packages").glob("pip*"):
        shutil.copytree(each, packages / each.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(source / f"bin/{PYTHON}", target / "bin")
    for name in ("python", "python3"):
        (target / "bin" / name).symlink_to(PYTHON)


def _run(command: list[str]) -> None:
    """Run what prepares the build. That it fails, for want of a mirror say, tells nothing of the image."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise ServiceUnavailable(f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
