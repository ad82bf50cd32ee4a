"""Entry point: load the runtime by file path under its real name, then run the part asked for.

``__main__`` must stay free of the runtime's own names, because functions that were pickled
elsewhere put theirs there. That is why nothing but this loader lives in it.
"""


def _start() -> None:
    import os
    import sys
    from importlib.util import module_from_spec, spec_from_file_location

    here = os.path.dirname(os.path.abspath(__file__))
    # Python puts this folder first on the path; its modules would shadow the user's.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]

    def load(name: str, path: str) -> None:
        spec = spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None, f"no loader for {path}"
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)

    load("raftwork._context", os.path.join(os.path.dirname(here), "_context.py"))
    load("raftwork._runtime", os.path.join(here, "__init__.py"))
    from raftwork._runtime import load as load_parts

    part, arguments = sys.argv[1], sys.argv[2:]
    sys.argv[:] = ["raftwork"]
    load_parts("process")
    if part == "zygote":
        from raftwork._runtime.zygote import main

        main(*arguments)
    else:
        load_parts("frames", "include", "environment", "functions", "payloads")
        from raftwork._runtime.child import exec_main

        exec_main(*arguments)


_start()
