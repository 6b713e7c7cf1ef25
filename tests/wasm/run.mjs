// Runs pytest in Pyodide: node run.mjs SITE ARGUMENT…, where SITE is a folder of installed packages.
import { fileURLToPath } from "node:url";
import { loadPyodide } from "pyodide";

const [site, ...args] = process.argv.slice(2);
const project = fileURLToPath(new URL("../..", import.meta.url));

try {
  const python = await loadPyodide({ env: { HOME: "/tmp", PYTHONDONTWRITEBYTECODE: "1" } });
  for (const [folder, root] of [["/site", site], ["/project", project]]) {
    python.FS.mkdirTree(folder);
    python.FS.mount(python.FS.filesystems.NODEFS, { root }, folder);
  }
  python.globals.set("ARGUMENTS", python.toPy(args));
  process.exitCode = python.runPython(`
import os, sys
sys.path[:0] = ["/site", "/project"]
os.chdir("/project")
from tests.wasm.in_wasm import main
main(ARGUMENTS)
`);
} catch (error) {
  console.error(error.message); // the rest would be Pyodide's source, which is one line
  process.exitCode = 3;
}
