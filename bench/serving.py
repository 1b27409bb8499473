"""Serves the real gateway as `waypost serve` does, from the environment, without the command line around it."""

import os

import uvloop

from waypost.app.serve import serve
from waypost.config.reading import load

if __name__ == "__main__":
    uvloop.run(serve(load(os.environ, None), announce=lambda line: None))
