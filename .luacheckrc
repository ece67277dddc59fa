-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 120
codes = true
ignore = { "212/_.*", "212/self" } -- arguments that a signature prescribes
exclude_files = { "lualib/meta", "build" } -- meta: declarations for editors, never run

-- 241: tables that only keep their contents from the collector.
files["tests/lua"] = { std = "lua54+busted", ignore = { "241" } }
