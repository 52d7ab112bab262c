"""Reads what Terraform's provider for AWS takes off the bindings HashiCorp generated from it.

In: the folder of the Python package `cdktf_cdktf_provider_aws`, names of resources. Out: their
schemas, as nested dictionaries. The provider itself is 700 MB and comes from a registry of its own;
the bindings name every argument, its type and whether it is required, which is what is checked.

A block is {"attributes": {name: (type, how)}, "blocks": {name: (block, most)}}, `how` is one of
required, optional, computed, both; `most` is 1 or 0 for any number.
"""

import ast
import os

# What deploy/terraform uses, without the aws_ in front.
RESOURCES = """lambda_function lambda_function_url cloudwatch_log_group iam_role iam_role_policy
    ecr_repository ecr_repository_policy ecr_lifecycle_policy""".split()
DATA = ["partition", "region", "caller_identity"]
MODULES = ["provider", *RESOURCES, *[f"data_aws_{name}" for name in DATA]]

# Arguments of every construct of the bindings, which Terraform knows as meta-arguments.
META = {
    "connection",
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "provider",
    "provisioners",
}
# Arguments that the provider fills in when they are left out.
FILLED_IN = {"id", "name", "name_prefix", "region", "tags_all"}
SCALARS = {"builtins.str": "string", "jsii.Number": "number", "builtins.bool": "bool"}


class Bindings:
    def __init__(self, folder):
        self.folder = folder

    def block(self, kind, data=False):
        """The schema of aws_<kind>; kind "provider" is the provider's own configuration."""
        module = f"data_aws_{kind}" if data else kind
        with open(os.path.join(self.folder, module, "__init__.py"), encoding="utf-8") as file:
            tree = ast.parse(file.read())
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        # The configuration class is the one whose name ends in Config and begins like the module.
        stem = module.replace("_", "").lower()
        if kind == "provider":
            stem = "awsprovider"
        config = next(c for n, c in classes.items() if n.lower() == f"{stem}config")
        block = self.of_class(config, classes)
        resource = next(c for n, c in classes.items() if n.lower() == stem)
        for name, kind_of in computed(resource):
            block["attributes"].setdefault(name, (kind_of, "computed"))
        return block

    def of_class(self, node, classes):
        attributes, blocks = {}, {}
        init = next(n for n in node.body if getattr(n, "name", "") == "__init__")
        for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults):
            if argument.arg in META:
                continue
            text = ast.unparse(argument.annotation).replace("'", "")
            text = text.removeprefix("typing.Optional[") if default is not None else text
            struct = next((n for n in classes if f"typing.Union[{n}, " in text), None)
            if struct is not None:
                several = "typing.Sequence" in text
                blocks[argument.arg] = (
                    self.of_class(classes[struct], classes),
                    0 if several else 1,
                )
                continue
            how = "required" if default is None else "optional"
            if how == "optional" and argument.arg in FILLED_IN:
                how = "both"
            attributes[argument.arg] = (type_of(text), how)
        return {"attributes": attributes, "blocks": blocks}


def type_of(text):
    """The annotation as a Terraform type, in the JSON that the plugin protocol writes."""
    for name, kind in SCALARS.items():
        if text.startswith((name, f"typing.Union[{name}")):
            return kind
    inner = next(kind for name, kind in SCALARS.items() if name in text.split("[", 1)[1])
    if text.startswith("typing.Mapping["):
        return ["map", inner_of_mapping(text)]
    return ["list", inner]


def inner_of_mapping(text):
    value = text.split(",", 1)[1].strip()
    return type_of(value) if value.startswith(tuple(SCALARS)) else "string"


def computed(node):
    """What the provider tells after it made the resource: the plain properties of its class."""
    for method in node.body:
        decorators = [ast.unparse(d) for d in getattr(method, "decorator_list", [])]
        if "builtins.property" not in decorators or method.name.endswith("_input"):
            continue
        returned = ast.unparse(method.returns)
        if returned in SCALARS:
            yield method.name, SCALARS[returned]
