"""A language model as the judge, and as the writer of requests: any endpoint that speaks OpenAI's chat completions."""

from ranker.judges.llm.judge import LlmJudge
from ranker.judges.llm.settings import LlmSettings
from ranker.judges.llm.writer import LlmWriter

__all__ = ["LlmJudge", "LlmSettings", "LlmWriter"]
