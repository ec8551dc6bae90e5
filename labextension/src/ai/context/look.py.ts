/**
 * What is asked of a Python kernel: the source of `look(values)`, which describes its variables. It runs none of the
 * user's code: only exact known types are looked into, all else is named by its type. It works with whatever names the
 * user has overwritten (`list`, `type`), leaves nothing behind, and ends early when it takes long.
 *
 * The test tests/hosts/test_kernel_look.py runs this text in a real kernel.
 */
export const LOOK = String.raw`
import json, sys, time, types
from IPython import get_ipython

VARIABLES, COLUMNS, ROWS, SECONDS = 200, 60, 3, 0.03
SIZED = (list, tuple, dict, set, frozenset, str, bytes, bytearray, range)
SCALARS = (int, float, complex, bool, type(None))
QUICK = SIZED + SCALARS + (types.FunctionType, type)
DTYPES = ("numpy", "pandas", "geopandas", "polars", "torch", "pyarrow", "ml_dtypes")
read = object.__getattribute__


def label(cls, name):
    # A type's own slot: a metaclass of the user's is not asked.
    said = type.__dict__[name].__get__(cls)
    return said if type(said) is str else ""


def type_of(value):
    cls = type(value)
    module = label(cls, "__module__").split(".")[0]
    name = label(cls, "__name__")
    return name if module in ("", "builtins", "__main__") else module + "." + name


def known(module, name, value):
    # Whether a value is exactly of a library's type; a library that nobody imported is not imported.
    found = sys.modules.get(module)
    return type(found) is not type(None) and read(found, "__dict__").get(name) is type(value)


def genuine(value, libraries):
    # Whether its type is what these libraries call so, and not one that merely says so.
    module, name = label(type(value), "__module__"), label(type(value), "__name__")
    return module.split(".")[0] in libraries and known(module, name, value)


def word(name):
    # A column's name, where that asks no code of the user's.
    if type(name) is str:
        return name[:80]
    if type(name) is tuple:
        return ", ".join([word(part) for part in name])[:80]
    if type(name) in SCALARS or known("pandas", "Timestamp", name):
        return str(name)[:80]
    return "<" + label(type(name), "__name__") + ">"


def kind(dtype):
    # A dtype without the values that some name: categories, fill values.
    name = label(type(dtype), "__name__")
    if name in ("Enum", "SparseDtype") or not genuine(dtype, DTYPES):
        return name
    return str(dtype)[:60]


def table(names, dtypes, count):
    columns = [{"name": word(name), "dtype": kind(dtype)} for name, dtype in zip(names, dtypes)][:COLUMNS]
    return {"columns": columns, "more_columns": count - len(columns)}


def parameters(function):
    code = function.__code__
    names = code.co_varnames
    count, keywords = code.co_argcount, code.co_kwonlyargcount
    plain = count - len(function.__defaults__ or ())
    said = [name if i < plain else name + "=…" for i, name in enumerate(names[:count])]
    if code.co_posonlyargcount:
        said.insert(code.co_posonlyargcount, "/")
    if code.co_flags & 4:
        said.append("*" + names[count + keywords])
    elif keywords:
        said.append("*")
    given = function.__kwdefaults__ or {}
    said += [name + "=…" if name in given else name for name in names[count : count + keywords]]
    if code.co_flags & 8:
        said.append("**" + names[count + keywords + (1 if code.co_flags & 4 else 0)])
    return ", ".join(said)


def shaped(value):
    return {"shape": [int(n) for n in value.shape], "dtype": kind(value.dtype)}


def rows(frame):
    head = frame.iloc[:ROWS, :20]
    head = head.iloc[:, [i for i, dtype in enumerate(head.dtypes) if genuine(dtype, DTYPES)]]
    lines = ["\t".join([word(name) for name in head.columns])]
    for i in range(len(head)):
        lines.append("\t".join([cell(head.iat[i, j]) for j in range(head.shape[1])]))
    return "\n".join(lines)


def cell(value):
    if type(value) is str:
        return value[:40]
    if type(value) in SCALARS or genuine(value, ("numpy", "pandas")) and not known("numpy", "ndarray", value):
        return str(value)[:40]
    return "<" + label(type(value), "__name__") + ">"


def describe(value, values):
    if type(value) in SIZED:
        said = {"length": len(value)}
        if values and type(value) is str and len(value) <= 200:
            said["value"] = json.dumps(value, ensure_ascii=False)
        return said
    if type(value) in SCALARS:
        huge = type(value) is int and value.bit_length() > 256
        return {"value": repr(value)} if values and not huge else {}
    if type(value) is types.FunctionType:
        return {"signature": "(" + parameters(value) + ")"}
    if type(value) is type:
        made = type.__dict__["__dict__"].__get__(value).get("__init__")
        return {"signature": "(" + parameters(made) + ")"} if type(made) is types.FunctionType else {}
    if known("pandas", "DataFrame", value) or known("geopandas", "GeoDataFrame", value):
        said = {"shape": list(value.shape)}
        said.update(table(value.columns[:COLUMNS], value.iloc[:0, :COLUMNS].dtypes, value.shape[1]))
        if values and known("pandas", "DataFrame", value):
            said["value"] = rows(value)
        return said
    if known("pandas", "Series", value) or known("geopandas", "GeoSeries", value):
        return shaped(value)
    if known("polars", "DataFrame", value):
        schema = value.schema
        return {"shape": list(value.shape), **table(schema, schema.values(), value.shape[1])}
    if known("polars", "Series", value):
        return {"shape": [len(value)], "dtype": kind(value.dtype)}
    if known("pyarrow", "Table", value):
        return {"shape": list(value.shape), **table(value.schema.names, value.schema.types, value.shape[1])}
    if known("numpy", "ndarray", value) or known("torch", "Tensor", value) or known("torch.nn", "Parameter", value):
        return shaped(value)
    if known("xarray", "DataArray", value):
        return {**shaped(value), "signature": "(" + ", ".join([word(name) for name in value.dims]) + ")"}
    if known("xarray", "Dataset", value):
        names = list(value.variables)
        dtypes = [value.variables[name].dtype for name in names[:COLUMNS]]
        return {"shape": [int(n) for n in value.sizes.values()], **table(names, dtypes, len(names))}
    if known("jaxlib._jax", "ArrayImpl", value) or known("jaxlib.xla_extension", "ArrayImpl", value):
        return shaped(value)
    return {}


def restore(shell):
    kept = shell.__dict__.pop("_aidp_kept", None)
    if kept:
        shell.last_execution_succeeded, shell.last_execution_result = kept


def look(values):
    shell = get_ipython()
    restore(shell)
    hidden, until, said = shell.user_ns_hidden, time.thread_time() + SECONDS, []
    for name, value in reversed(list(shell.user_ns.items())):
        if type(name) is not str or name.startswith("_") or hidden.get(name, restore) is value:
            continue
        if type(value) is types.ModuleType or len(said) >= VARIABLES:
            continue
        one = {"name": name[:200], "type": "class" if type(value) is type else type_of(value)[:200]}
        # Many slow ones do not hide the quick ones; and it is the kernel's own work that counts, not a busy machine.
        if type(value) in QUICK or time.thread_time() < until:
            try:
                one.update(describe(value, values))
            except Exception:
                pass  # its type is known all the same
        said.append(one)
    return json.dumps({"variables": said})
`;

/**
 * Runs before `look` in the same request and keeps what IPython remembers of the user's last run, which each execution
 * replaces; `look` puts it back. It uses no name of the user's and makes none.
 */
export const KEEP = String.raw`
(lambda shell: shell.__dict__.update(_aidp_kept=(shell.last_execution_succeeded, shell.last_execution_result)))(
    __import__("IPython").get_ipython()
)
`;

/** The expression that gives what `look` says, as a JSON text. */
export function lookExpression(values: boolean): string {
  // A JSON string is a Python string as well.
  const source = JSON.stringify(LOOK);
  const said = `ns["look"](${values ? 'True' : 'False'})`;
  return `(lambda b, ns: (b.exec(${source}, ns), ${said})[1])(__import__("builtins"), {})`;
}
