"""All rows by name, in the order of the table. A row is a function of the stage that yields lines."""

from bench.rows_cat import cat
from bench.rows_copy import copy, copy_far
from bench.rows_grep import grep
from bench.rows_list import first_ls, ls
from bench.rows_memory import memory
from bench.rows_news import news
from bench.rows_pop3 import pop3, pop3_far
from bench.rows_send import send, send_far

ROWS = {
    "copy": copy,
    "copy-far": copy_far,
    "pop3": pop3,
    "pop3-far": pop3_far,
    "first-ls": first_ls,
    "ls": ls,
    "grep": grep,
    "cat": cat,
    "news": news,
    "memory": memory,
    "send": send,
    "send-far": send_far,
}
