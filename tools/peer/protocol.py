"""How `cargo xtask bench --peer` talks with a peer, so that the two can take turns.

The peer says {"name": ...} and then answers requests, one JSON object a line each way:

    {"run": {"work": NAME, ...}, "repeats": R}    the work R times: {"seconds": mean of one, "peak_bytes": where it is known}
    {"forget": true}                              drops all operands: {}

A request that fails is answered with {"error": MESSAGE}. Work seen for the first time is prepared and warmed up before it is timed.
"""
import json
import os
import sys


def serve(name, device):
    """Answers until the requests end. `device` has prepare(work, arguments) -> what is done, time(what is done, repeats) -> answer, and forget()."""
    # Whatever else is printed here, by C++ too, is for people.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    say = lambda reply: print(json.dumps(reply), file=answers, flush=True)
    say({"name": name})
    prepared = {}
    for line in sys.stdin:
        try:
            reply = answer(device, json.loads(line), prepared)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        say(reply)


def answer(device, request, prepared):
    if "forget" in request:
        prepared.clear()
        device.forget()
        return {}
    arguments = dict(request["run"])
    key = json.dumps(arguments, sort_keys=True)
    if key not in prepared:
        prepared[key] = device.prepare(arguments.pop("work"), arguments)
    return device.time(prepared[key], request["repeats"])
