"""Generates the protobuf code from protos/, each file beside the code that uses it.

    .venv-protos/bin/python scripts/protos.py             write *_pb2.py and *_pb2.pyi
    .venv-protos/bin/python scripts/protos.py --check     exit 1 if what is written is not what protos/ gives

`make protos` and `make protos-check` run it in an environment with the oldest protobuf that we support: the code of a
newer protoc refuses older runtimes.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
#: Folder below protos/ -> the package that its code goes to. No file imports another, so no path stands in the code.
CONSUMERS = {
    "duplexcore/demo/v1": ROOT / "src" / "duplexcore" / "cli" / "proto",
    "duplexcore/reflection": ROOT / "src" / "duplexcore" / "testing" / "descriptors" / "proto",
    "grpc/testing": ROOT / "src" / "duplexcore" / "interop" / "proto",
}


def generate(folder: str) -> dict[str, str]:
    """Name -> text of every file that protoc makes of the .proto files in one folder."""
    sources = [path.relative_to(PROTOS).as_posix() for path in sorted((PROTOS / folder).glob("*.proto"))]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"--proto_path={PROTOS}",
                f"--python_out={directory}",
                f"--pyi_out={directory}",
                *sources,
            ],
            check=True,
        )
        made = sorted((Path(directory) / folder).iterdir())
        return {path.name: path.read_text(encoding="utf-8") for path in made}


def written(target: Path) -> dict[str, str]:
    """Name -> text of the generated files that are there."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(target.glob("*_pb2.py*"))}


def stale(target: Path, made: dict[str, str]) -> list[str]:
    """What differs between the files that are there and those that should be."""
    there = written(target)
    names = sorted(there.keys() | made.keys())
    return [str((target / name).relative_to(ROOT)) for name in names if there.get(name) != made.get(name)]


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The protobuf code of this project, from protos/.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the generated code is stale")
    check = parser.parse_args(argv).check
    if importlib.util.find_spec("grpc_tools") is None:
        print("protos: grpcio-tools is not here: `make protos` sets up the environment that has it", file=sys.stderr)
        return 1
    different = []
    for folder, target in CONSUMERS.items():
        made = generate(folder)
        different += stale(target, made)
        if not check:
            for name in written(target).keys() - made.keys():
                (target / name).unlink()
            for name, text in made.items():
                (target / name).write_text(text, encoding="utf-8")
    if check and different:
        print(f"stale, or by another protoc: {', '.join(different)}; run `make protos`", file=sys.stderr)
        return 1
    print(f"protos: {'up to date' if not different else ', '.join(different)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
