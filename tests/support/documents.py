"""What documents show: blocks of code, and the commands in those of the shell."""

import re
import shlex

#: words of the shell's grammar that a command may follow
GRAMMAR = {"do", "then", "else", "{", "}", "done", "fi", "esac", "in"}
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)[^}]*\})")


def blocks(text, language):
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


def commands(text):
    """Each simple command of the bash blocks as a list of words.

    Variables have the values that the document gave them, that of a loop its first one; others stay as they are.
    """
    values = {}

    def filled(word):
        return VARIABLE.sub(lambda found: values.get(found[1] or found[2], found[0]), word)

    for block in blocks(text, "bash"):
        block = re.sub(r"(^|\s)#.*$", "", block, flags=re.M).replace("\\\n", " ")
        block = re.sub(r"\$\([^()]*\)", "", block)  # of another command's output nothing is known
        lexer = shlex.shlex(block, posix=True, punctuation_chars="();<>|&\n")
        lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
        words, skip = [], False
        for word in [*lexer, "\n"]:
            if set(word) <= set("();|&\n"):
                yield from _command(words, values)
                words = []
            elif set(word) <= set("<>"):
                skip = True  # the file that follows
            elif skip:
                skip = False
            else:
                words.append(filled(word))


def _command(words, values):
    while words and (words[0] in GRAMMAR or re.match(r"\w+=", words[0])):
        name, equals, value = words.pop(0).partition("=")
        if equals:
            values[name] = value
    if words[:1] == ["for"]:
        values[words[1]] = words[3]
    elif words:
        yield words
