# SPDX-License-Identifier: MIT
"""Compiles the programs of executor.py: -O3 for all, warnings as they come.

What cannot be compiled is missing, with the reason; Stook and seq must be there. STOOK_BUILD is the
build directory with the libraries."""
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent
ROOT = SOURCES.parents[1]
C = ["-std=gnu11", "-O3", "-DNDEBUG", "-pthread"]
CXX = ["-std=gnu++17", "-O3", "-DNDEBUG", "-pthread"]


class Program:
    """needs: pkg-config's names. run: what comes before the arguments; {workers} stands for them."""

    def __init__(self, output, compiler, *arguments, needs=(), run=None, environment=None):
        self.output, self.compiler, self.arguments = output, compiler, arguments
        self.needs, self.run = needs, run or [str(output)]
        self.environment = environment or {}
        self.missing = None

    def command(self, workers):
        return [word.replace("{workers}", str(workers)) for word in self.run]

    def build(self, newest):
        if not shutil.which(self.compiler):
            self.missing = f"{self.compiler} is not installed"
        elif not self.output.exists() or self.output.stat().st_mtime < newest:
            try:
                self.compile()
            except subprocess.CalledProcessError as error:
                lines = (error.stderr or "").strip().splitlines() or [str(error)]
                self.missing = next((line for line in lines if "rror:" in line), lines[0])

    def compile(self):
        flags = []
        if self.needs:
            said = subprocess.run(["pkg-config", "--cflags", "--libs", *self.needs], check=True,
                                  capture_output=True, text=True)
            flags = shlex.split(said.stdout)
        subprocess.run([self.compiler, *map(str, self.arguments), *flags], check=True,
                       capture_output=True, text=True, env={**os.environ, **self.environment})


def programs_in(out, build):
    include = [f"-I{ROOT / 'include'}", f"-I{build / 'include'}"]
    library = build / "lib"

    def to(name):
        return ["-o", out / name, "-lm"]

    return {
        "stook": Program(out / "stook", "gcc", *C, *include, SOURCES / "stook.c",
                         library / "libstook.a", *to("stook")),
        "stook_shared": Program(out / "stook_shared", "gcc", *C, "-DSTOOK_NO_INLINE", *include,
                                SOURCES / "stook.c", library / "libstook.so",
                                f"-Wl,-rpath,{library}", *to("stook_shared")),
        "seq": Program(out / "seq", "gcc", *C, SOURCES / "seq.c", *to("seq")),
        "tbb": Program(out / "tbb", "g++", *CXX, SOURCES / "tbb.cpp", *to("tbb"), needs=["tbb"]),
        "gomp": Program(out / "gomp", "gcc", *C, "-fopenmp", SOURCES / "omp.c", *to("gomp")),
        "libomp": Program(out / "libomp", "clang", *C, "-fopenmp", SOURCES / "omp.c",
                          *to("libomp")),
        "glib": Program(out / "glib", "gcc", *C, SOURCES / "glib.c", *to("glib"),
                        needs=["glib-2.0"]),
        "java": Program(out / "ForkJoin.class", "javac", "-d", out, SOURCES / "ForkJoin.java",
                        SOURCES / "Kernels.java",
                        run=["java", "-XX:+UseParallelGC", "-cp", str(out),
                             # what Arrays.parallelSort() asks, wherever it runs
                             "-Djava.util.concurrent.ForkJoinPool.common.parallelism={workers}",
                             "ForkJoin"]),
        "go": Program(out / "go", "go", "build", "-o", out / "go", SOURCES / "gofj.go",
                      SOURCES / "kernels.go",
                      environment={"GO111MODULE": "off", "GOCACHE": str(out / "go-cache")}),
    }


def build(names):
    """The programs of these names, compiled if they are out of date."""
    folder = Path(os.environ.get("STOOK_BUILD", ROOT / "build" / "bench"))
    out = folder / "bench-executor"
    out.mkdir(parents=True, exist_ok=True)
    programs = {name: program for name, program in programs_in(out, folder).items()
                if name in names}
    files = [*SOURCES.iterdir(), *(ROOT / "include" / "stook").iterdir(),
             folder / "lib" / "libstook.a"]
    newest = max(file.stat().st_mtime for file in files if file.is_file())
    for name, program in programs.items():
        program.build(newest)
        if program.missing and name in ("stook", "stook_shared", "seq"):
            sys.exit(f"executor: cannot build {name}: {program.missing}")
    return programs
