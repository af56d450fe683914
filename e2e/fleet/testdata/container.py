# Runs a program as the container of the service app: container.py FILE PROGRAM... takes what docker-compose config has printed
# to FILE: the environment as it is, the secrets as files with the owner and mode that they have, and a user without rights.
import os
import subprocess
import sys

import yaml

NOBODY = 65534


def main():
    with open(sys.argv[1]) as f:
        project = yaml.safe_load(f)
    app = project["services"]["app"]
    os.makedirs("/run/secrets", exist_ok=True)
    for use in app.get("secrets", []):
        if isinstance(use, str):
            use = {"source": use}
        target = os.path.join("/run/secrets", use.get("target") or use["source"])
        with open(target, "w"):
            pass
        subprocess.run(["mount", "--bind", project["secrets"][use["source"]]["file"], target], check=True)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    for name, value in app["environment"].items():
        environment[name] = str(value).replace("$$", "$")  # config prints what could be read again
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.execvpe(sys.argv[2], sys.argv[2:], environment)


main()
