-- What every script has: expectations, and waiting for what the editor does later.
function expect(what, actual, wanted)
  if not vim.deep_equal(actual, wanted) then
    error(string.format("%s: wanted %s, got %s", what, vim.inspect(wanted), vim.inspect(actual)), 2)
  end
end

function eventually(what, holds)
  if not vim.wait(15000, holds, 5) then error("never: " .. what, 2) end
end

function lines() return vim.api.nvim_buf_get_lines(0, 0, -1, false) end

function set_lines(new) vim.api.nvim_buf_set_lines(0, 0, -1, false, new) end

-- What the plugin told its user, newest last.
said = {}
vim.notify = function(text) said[#said + 1] = text end

function last_said() return said[#said] or "" end

function matches(what, text, pattern)
  if not tostring(text):find(pattern) then
    error(string.format("%s: %q does not match %q", what, tostring(text), pattern), 2)
  end
end

-- `-u NONE` keeps the user's plugins out, and with them this one.
vim.cmd("filetype on")
vim.cmd("runtime plugin/layerd.lua")
layerd = require("layerd")
layerd.setup({ follow = false })
