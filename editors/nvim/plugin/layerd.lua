-- Commands and autocommands of layerd; the modules load when the first one is used.
if vim.g.loaded_layerd then return end
vim.g.loaded_layerd = true

local function layerd() return require("layerd") end

local command = vim.api.nvim_create_user_command

command("LayerdBegin", function(given) layerd().begin(given.args) end,
  { nargs = "*", desc = "Begin a transaction; the arguments are its commits' message" })
command("LayerdCommit", function() layerd().commit() end,
  { desc = "Commit what was staged" })
command("LayerdRollback", function() layerd().rollback() end,
  { desc = "Roll the open transaction back" })
command("LayerdStatus", function() layerd().status() end,
  { desc = "Say what is open and what it changes" })
command("LayerdEdit", function(given) layerd().edit(given.args) end, {
  nargs = 1,
  complete = function(lead) return layerd().complete(lead) end,
  desc = "Edit LAYER:PATH of a repository",
})
command("LayerdExplain", function(given)
  layerd().explain(given.args ~= "" and given.args or nil)
end, { nargs = "?", desc = "Say where the key under the cursor comes from, in a stack" })

local group = vim.api.nvim_create_augroup("layerd", {})

local function on(event, pattern, callback)
  vim.api.nvim_create_autocmd(event, { group = group, pattern = pattern, callback = callback })
end

on("BufReadCmd", "layerd://*", function(event)
  layerd() -- a session without setup() works with the defaults
  require("layerd.buffer").read(event.buf, event.match)
end)
on("BufWriteCmd", "layerd://*", function(event)
  require("layerd.buffer").write(event.buf, vim.v.cmdbang == 1)
end)
on("CursorHold", "layerd://*", function(event) require("layerd.provenance").show(event.buf) end)
on("CursorMoved", "layerd://*", function(event) require("layerd.provenance").hide(event.buf) end)
on("BufWipeout", "layerd://*", function(event) require("layerd.buffer").forget(event.buf) end)
on("VimLeavePre", "*", function()
  if package.loaded["layerd"] then layerd().leave() end
end)
