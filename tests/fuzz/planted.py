"""Run as a process of its own: programs that show planted defects, under the oracle that compares its two ways.

``python planted.py ROW SEED NUMBER [ROW SEED NUMBER]…`` says {"row", "violated", "differences"} for each, a line each.
"""

import json
import os
import sys

from specs.bugs.catalogue import BUGS
from specs.bugs.hook import plant


def main() -> None:
    arguments = sys.argv[1:]
    for row, seed, number in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        plant(BUGS[row])
        from specs.bugs.hunt import PROGRAM_STEPS, STRIDE
        from specs.check import wander
        from specs.comparing import Comparing
        from specs.generate import RandomChooser
        from specs.programs.layout import World
        from specs.shrink import violated

        made: list[Comparing] = []

        def watcher(world: World, made: list[Comparing] = made) -> Comparing:
            made.append(Comparing(policy=world.policy))
            return made[0]

        execution = wander(RandomChooser(int(seed) * STRIDE + int(number)), PROGRAM_STEPS, watcher)
        said = {"row": row, "violated": sorted(violated(execution)), "differences": made[0].differences}
        print(json.dumps(said), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
