"""What the commands that judge have in common on their command lines. Loads nothing heavy: a worker's command sees it, too."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

JudgeName: TypeAlias = Literal["rule", "embedding", "llm"]
TeacherDir = Annotated[
    Path, typer.Option(help="Directory of the embedding judge's encoder; fetched (440 MB) where it is missing.")
]
VectorsFile = Annotated[Path, typer.Option(help="Where the embedding judge keeps the vectors of texts it has read.")]
RetryUnanswered = Annotated[
    bool, typer.Option("--retry-unanswered", help="Ask a language model again for what it gave no valid answer to.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a language model is paid.")]
