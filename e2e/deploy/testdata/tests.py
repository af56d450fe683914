# Tests of app.py, which wait for its mail at the API.
import json, os, urllib.request

def ask(path):
    with urllib.request.urlopen(os.environ["SMARTHOST_TEST_URL"] + path, timeout=60) as answer:
        return json.load(answer)

found = ask("/api/t/v1/messages?to=bob@example.net&wait=30s")
print(json.dumps(found))
message, = found["messages"]
assert message["subject"] == "Welcome" and message["user"] == "app", message
assert ask("/inbox/app/api/t/v1/messages?from=app@example.com")["messages"] == found["messages"]
print("the mail has come")
