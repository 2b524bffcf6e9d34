"""Leaves out of the image's environment what no role needs at run time: the model converter, the installer, tests, and
sources and symbols of compiled modules. What is left is compiled, since nothing can be written there later.
"""

import compileall
import shutil
import subprocess
import sys
from pathlib import Path

#: onnx and ml_dtypes convert models, which the image has already; ONNX Runtime does not import the others.
_PACKAGES = ("onnx", "ml_dtypes", "sympy", "mpmath", "pip")
_FOLDERS = (
    "numpy/**/tests",
    "matplotlib/tests",
    "mpl_toolkits/*/tests",
    "fontTools/**/tests",
    "redis/**/tests",
    "onnxruntime/transformers",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "onnxruntime/datasets",
)
_SUFFIXES = (".pyi", ".pyx", ".pxd", ".c", ".h", ".hpp")


def main() -> None:
    environment = Path(sys.argv[1])
    packages = next(environment.glob("lib/python3.*/site-packages"))
    compileall.compile_dir(packages, quiet=2)
    for name in _PACKAGES:
        shutil.rmtree(packages / name, ignore_errors=True)
        for about in packages.glob(f"{name}-*.dist-info"):
            shutil.rmtree(about)
    for pattern in _FOLDERS:
        for folder in packages.glob(pattern):
            shutil.rmtree(folder)
    for file in packages.rglob("*"):
        if file.suffix in _SUFFIXES:
            file.unlink()
    # Extension modules alone: libraries that wheels carry beside them are packed in ways `strip` may not follow.
    modules = [file for file in packages.rglob("*.so") if not file.parent.name.endswith(".libs")]
    subprocess.run(["strip", "--strip-unneeded", *modules], check=True)
    for script in environment.glob("bin/pip*"):
        script.unlink()


main()
