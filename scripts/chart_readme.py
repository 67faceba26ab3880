#!/usr/bin/env python3
"""The table of values in a chart's README, from its schema (what each means) and its defaults (JSON on standard input).

    scripts/chart_readme.py CHART [--write]

Fails when a value has no description, when a default is of no property or the reverse, and when the README differs.
"""
import json
import pathlib
import sys

BEGIN, END = "<!-- values: written by `make charts VALO_UPDATE=1` -->\n", "<!-- end of values -->\n"


def rows(schema, defaults, path, problems):
    """Yields path, default and meaning of every value."""
    properties = schema.get("properties", {})
    given = defaults if isinstance(defaults, dict) else {}
    for name in given:
        if name not in properties:
            problems.append(f"{path}{name}: values.schema.json does not know it")
    for name, one in properties.items():
        if path + name == "global":
            continue
        if name not in given:
            problems.append(f"{path}{name}: values.yaml has no default")
        # What is empty by default is one value, whatever may be said in it.
        if "properties" in one and given.get(name) != {}:
            yield from rows(one, given.get(name), f"{path}{name}.", problems)
            continue
        if not one.get("description"):
            problems.append(f"{path}{name}: no description in values.schema.json")
        # What is given by name has fields of its own, which have no defaults.
        each = one.get("additionalProperties")
        default = "see below" if isinstance(each, dict) and "properties" in each else json.dumps(given.get(name))
        yield f"{path}{name}", default, one.get("description", "")
        if isinstance(each, dict) and "properties" in each:
            yield from fields(each, f"{path}{name}.NAME")


def fields(schema, path):
    """The same of what is given by name."""
    if schema.get("description"):
        yield path, "", schema["description"]
    for name, one in schema["properties"].items():
        if "properties" in one:
            yield from fields(one, f"{path}.{name}")
        else:
            yield f"{path}.{name}", "", one["description"]


def table(chart, defaults):
    problems = []
    schema = json.loads((chart / "values.schema.json").read_text())
    lines = ["| value | default | meaning |\n| --- | --- | --- |\n"]
    for path, default, meaning in rows(schema, defaults, "", problems):
        shown = default if default in ("", "see below") else f"`{default}`"
        lines.append(f"| `{path}` | {shown} | {meaning} |\n")
    if problems:
        sys.exit("\n".join(f"{chart}: {problem}" for problem in problems))
    return "".join(lines)


def main():
    chart = pathlib.Path(sys.argv[1])
    readme = chart / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest:
        sys.exit(f"{readme}: it has no line {BEGIN.strip()}")
    wanted = before + BEGIN + table(chart, json.load(sys.stdin)) + END + after
    if "--write" in sys.argv:
        readme.write_text(wanted)
    elif text != wanted:
        sys.exit(f"{readme}: its table is not what schema and values say: VALO_UPDATE=1 make charts")


main()
