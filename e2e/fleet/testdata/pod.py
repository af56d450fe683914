# Runs a program as a container of a Kubernetes pod: pod.py FILE PROGRAM... takes the Secret in FILE, and follows the comment
# above it, which says what to put beside the container's image and beside the containers.
import os
import sys

import yaml


def comments(text):
    """The indented parts of the comment: first what belongs to the container, then what belongs to the pod."""
    parts, inside = [], False
    for line in text.splitlines():
        indented = line.startswith("#     ")
        if indented and not inside:
            parts.append([])
        if indented:
            parts[-1].append(line[6:])
        inside = indented
    return [yaml.safe_load("\n".join(part)) for part in parts]


def main():
    with open(sys.argv[1]) as f:
        text = f.read()
    secret = yaml.safe_load(text)
    assert (secret["apiVersion"], secret["kind"], secret["type"]) == ("v1", "Secret", "Opaque"), secret
    values = secret["stringData"]
    assert all(isinstance(v, str) for v in values.values()), "Kubernetes takes nothing but strings"
    container, pod = (comments(text) + [{}])[:2]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    for source in container["envFrom"]:
        assert source["secretRef"]["name"] == secret["metadata"]["name"], source
        environment.update(values)
    volumes = {v["name"]: v["secret"] for v in pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        volume = volumes[mount["name"]]
        assert volume["secretName"] == secret["metadata"]["name"], volume
        os.makedirs(mount["mountPath"], exist_ok=True)
        for item in volume["items"]:
            with open(os.path.join(mount["mountPath"], item["path"]), "w") as f:
                f.write(values[item["key"]])
    os.execvpe(sys.argv[2], sys.argv[2:], environment)


main()
