"""``make bench``: every figure, as ratios to a floor measured in the same process."""

from bench import exchange, objects
from bench.timing import show
from capkernel.kernel import syscall


def main() -> None:
    """Print all tables."""
    build = "compiled" if str(syscall.__file__).endswith(".so") else "plain"
    show(exchange.figures(), f"messages ({build} build)")
    show(objects.figures(), f"objects and caps ({build} build)")


if __name__ == "__main__":
    main()
