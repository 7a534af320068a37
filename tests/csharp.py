"""C# for the tests: Debian's compiler, and the .NET Core runtime that comes as a Python package."""

import json
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FRAMEWORK = "Microsoft.NETCore.App"
# Programs that compare no culture's texts need no ICU on the machine.
RUNTIME = {
    "framework": {"name": FRAMEWORK, "version": "3.1.0"},
    "configProperties": {"System.Globalization.Invariant": True},
}


@cache
def available(required: bool = False) -> bool:
    """Tell whether C# can be compiled and run here; `required`: fail unless it can."""
    missing = [
        name
        for name, found in (("mcs", shutil.which("mcs")), ("dotnetcore2", _folder()))
        if not found
    ]
    if required and missing:
        raise RuntimeError(
            f"C# needs Debian's mono-mcs and the package dotnetcore2; not found: {missing}"
        )
    return not missing


def compiled(source: Path) -> list[str]:
    """Compile one file, with no warning let pass, and return the command that runs it."""
    folder = _folder()
    assert folder
    program = source.with_suffix(".dll")
    (assemblies,) = (folder / "shared" / FRAMEWORK).iterdir()
    names = (
        assemblies / "mscorlib.dll",
        assemblies / "netstandard.dll",
        *assemblies.glob("System*.dll"),
    )
    # What is there for Windows' own runtime only refers to types that are nowhere.
    references = [f"-r:{it}" for it in names if "WindowsRuntime" not in it.name]
    # CS1702: mcs doubts that two assemblies of the very same version match.
    options = [
        "-nologo",
        "-warnaserror",
        "-nowarn:1702",
        "-nostdlib",
        "-noconfig",
        f"-out:{program}",
    ]
    command = ["mcs", *options, *references, str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    program.with_suffix(".runtimeconfig.json").write_text(
        json.dumps({"runtimeOptions": RUNTIME})
    )
    return [str(folder / "dotnet"), str(program)]


def _folder() -> Path | None:
    """Return where the runtime lies; the package is not imported, for it may want to download what it misses."""
    package = find_spec("dotnetcore2")
    return Path(package.origin).parent / "bin" if package and package.origin else None
