"""The package as strangers meet it: built twice, looked into, and each extra installed alone.

python scripts/package.py --folder .tox/package/tmp

Two copies of the project, in other folders, of another age, with other permissions, in another time zone, must give the
same octets; so must the source distribution, unpacked. The wheel holds what is in `src` and `examples`, and nothing else.
Each extra goes into an environment of its own, beside the core and nothing else: there its line of `EXTRAS` runs, and with
the core alone it does not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = "import base44_web, base44_web.cli, base44_web.bridges"
_SETTINGS = (
    "from base44_web import Base44, Settings\nwith Base44(settings=Settings(app_id='a', secret='s' * 32, {})): pass"
)
_DJANGO = "import django.conf\ndjango.conf.settings.configure()\ndjango.setup()\nimport base44_web.django.{}"
# What each extra is for. Whoever adds an extra adds a line, which runs with it and not without it.
EXTRAS = {
    "starlette": "import base44_web.starlette",
    "fastapi": "import base44_web.fastapi",
    "django": "import base44_web.django, base44_web.django.urls",
    "rest-framework": _DJANGO.format("rest_framework"),
    "ninja": _DJANGO.format("ninja"),
    "flask": "import base44_web.flask",
    "quart": "import base44_web.quart",
    "litestar": "import base44_web.litestar",
    "httpx": _SETTINGS.format("http_client='httpx'"),
    "aiohttp": _SETTINGS.format("http_client='aiohttp'"),
    "session": _SETTINGS.format("token_sources=('header', 'session')"),
    "keys": _SETTINGS.format(
        "verification='keys', verification_key='https://a.example/jwks', algorithms=('RS256',), audience='a'"
    ),
    "redis": "from base44_web._core.incoming.replays import RedisReplays; RedisReplays('redis://127.0.0.1')",
    "store": _SETTINGS.format("connection_store='redis://127.0.0.1'"),
    "types": (
        "import pathlib, tempfile\nfrom base44_web.cli.project import read_json5\n"
        "with tempfile.NamedTemporaryFile('w', suffix='.json') as file:\n"
        "    file.write('{a: 1}')\n    file.flush()\n    read_json5(pathlib.Path(file.name))"
    ),
    "opentelemetry": "import base44_web._core.otel",
    "testing": (
        "from base44_web.testing import Emulator\n"
        "with Emulator.demo() as emulator, emulator.serve():\n"
        "    emulator.sign_in(emulator.add_user('ada@test.example'))"
    ),
    "demo": "import base44_web.starlette, base44_web.fastapi, base44_web.django, base44_web.flask, uvicorn",
}
# In Git, and for nobody who gets the source distribution.
NOT_SHIPPED = (".ci/", ".pre-commit-")


def run(*command: str | Path, **options: object) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}")


def project_files() -> list[str]:
    """What is in Git, or would be with the next commit."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(name for name in set(names) if name and (ROOT / name).is_file())


def copied(files: Iterable[str], folder: Path, *, mode: int, age: int) -> Path:
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(mode)
        os.utime(target, (age, age))
    return folder


def built(source: Path, out: Path, *kinds: str, umask: int = 0o022, **environment: str) -> dict[str, Path]:
    """The distributions of a folder, by their endings."""
    variables = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"} | environment
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *kinds, str(source)]
    run(*command, env=variables, umask=umask)
    return {".whl" if path.suffix == ".whl" else ".tar.gz": path for path in out.iterdir() if path.is_file()}


def same(one: Path, other: Path, what: str) -> list[str]:
    if hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest():
        print(f"same: {what} ({one.name})", flush=True)
        return []
    return [f"{what} differ: {one} and {other}"]


def wheel_is_whole(wheel: Path, files: Iterable[str]) -> list[str]:
    expected = {name.removeprefix("src/") for name in files if name.startswith("src/")}
    expected |= {f"base44_web/_{name}" for name in files if name.startswith("examples/")}
    packages = {name.partition("/")[0] for name in expected}
    expected |= {f"{package}/py.typed" for package in packages}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    print(f"the wheel: {len(found)} files in {', '.join(sorted(packages))}", flush=True)
    return [f"not in the wheel: {name}" for name in sorted(expected - found)] + [
        f"in the wheel, and should not be: {name}" for name in sorted(found - expected)
    ]


def sdist_is_whole(sdist: Path, files: Iterable[str]) -> list[str]:
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    expected = {name for name in files if not name.startswith(NOT_SHIPPED)} | {"PKG-INFO"}
    return [f"not in the source distribution: {name}" for name in sorted(expected - found)] + [
        f"in the source distribution, and should not be: {name}" for name in sorted(found - expected)
    ]


def extras_of_the_project() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def environment_with(extra: str, wheel: Path, folder: Path) -> Path:
    """An environment's Python, with the core and one extra."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    wanted = f"base44-web[{extra}] @ {wheel.resolve().as_uri()}" if extra else str(wheel)
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--disable-pip-version-check", wanted)
    return python


def runs(python: Path, code: str) -> subprocess.CompletedProcess[str]:
    # Nothing of the project's folder, nothing of the user's; a deprecation is an error.
    return subprocess.run(
        [str(python), "-I", "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, cwd=python.parent
    )


def each_extra_alone(wheel: Path, folder: Path) -> list[str]:
    named = extras_of_the_project()
    problems = [f"the extra {extra} has no line in EXTRAS" for extra in sorted(named - set(EXTRAS))]
    problems += [f"EXTRAS has {extra}, which is no extra" for extra in sorted(set(EXTRAS) - named)]
    core = environment_with("", wheel, folder / "core")
    done = runs(core, CORE)
    if done.returncode:
        problems.append(f"the core alone: {done.stderr}")
    run(core.parent / "base44-web", "--version")

    def alone(extra: str) -> list[str]:
        without = runs(core, EXTRAS[extra])
        said = without.stderr.strip().rpartition("\n")[2]
        if without.returncode == 0 or ("No module named" not in said and "pip install" not in said):
            return [f"{extra}: without it, what EXTRAS says should miss it, and says: {said}"]
        done = runs(environment_with(extra, wheel, folder / extra), EXTRAS[extra])
        if done.returncode:
            return [f"{extra} alone: {done.stderr}"]
        print(f"{extra}: runs alone; without it: {said}", flush=True)
        return []

    with ThreadPoolExecutor(2) as pool:
        return problems + [problem for found in pool.map(alone, sorted(named & set(EXTRAS))) for problem in found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where copies, distributions and environments go")
    parser.add_argument("--only", choices=["build", "extras"])
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    files = project_files()

    one = built(copied(files, folder / "a", mode=0o644, age=1_600_000_000), folder / "built-a", "--sdist", "--wheel")
    wheel, problems = one[".whl"], []
    if arguments.only != "extras":
        copy = copied(reversed(files), folder / "elsewhere" / "b", mode=0o600, age=1_700_000_000)
        other = built(
            copy, folder / "built-b", "--sdist", "--wheel", umask=0o077, TZ="Pacific/Kiritimati", PYTHONHASHSEED="7"
        )
        for kind, path in one.items():
            problems += same(path, other[kind], f"two builds of {kind}")
        with tarfile.open(one[".tar.gz"]) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        unpacked = next((folder / "unpacked").iterdir())
        problems += same(
            wheel, built(unpacked, folder / "built-c", "--wheel")[".whl"], "the source distribution's wheel"
        )
        problems += wheel_is_whole(wheel, files) + sdist_is_whole(one[".tar.gz"], files)
        run(sys.executable, "-m", "twine", "check", "--strict", *one.values())
        print("twine check --strict: passed", flush=True)
    if arguments.only != "build":
        problems += each_extra_alone(wheel, folder / "extras")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
