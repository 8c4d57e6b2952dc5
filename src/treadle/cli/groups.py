"""A click group that suggests similar names for an unknown command. State: none."""

from __future__ import annotations

import click

from treadle.suggestions import close_names, did_you_mean


class SuggestingGroup(click.Group):
    """A click group whose error for an unknown command lists similar commands, or all commands if none is similar."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name.

        Raises:
            click.UsageError: there is no command of that name.
        """
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            flags = {flag for parameter in self.get_params(ctx) for flag in parameter.opts}
            close = (f"--{name}",) if f"--{name}" in flags else close_names(name, known)
            hint = did_you_mean(close, f"The commands are: {', '.join(known)}.")
            message = f"There is no command {name!r}.{hint}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)
