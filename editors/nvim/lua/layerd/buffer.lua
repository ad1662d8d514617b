--- Files of layers as buffers: reading one asks the daemon, `:w` stages it.
---
--- B1. A buffer knows the blob that it was read from. `:w` compares it with what the
---     transaction sees, so that a change made meanwhile is never written over unasked.
--- B2. What is staged is not modified; when the transaction ends without a commit, it is
---     modified again.
--- B3. Bytes come back as they were: byte-order mark, CRLF, and a missing last newline.
local api = require("layerd.api")
local conflicts = require("layerd.conflicts")
local message = require("layerd.message")
local place = require("layerd.place")
local transaction = require("layerd.transaction")

local M = {}

local BOM = "\239\187\191"
--- What a file that is not there counts as, where blob ids are compared.
local ABSENT = "absent"

--- By buffer: { place, oid, base, mode, staged }: `oid` is the blob that the buffer's text
--- stands on, `base` the one that it stood on before anything was staged.
local known = {}

function M.place_of(buffer) return known[buffer] and known[buffer].place end

local function text_to_buffer(buffer, text)
  local options = vim.bo[buffer]
  options.bomb = text:sub(1, 3) == BOM
  if options.bomb then text = text:sub(4) end
  options.endofline = text == "" or text:sub(-1) == "\n"
  if not options.endofline then options.fixendofline = false end
  local lines = vim.split(text, "\n", { plain = true })
  if options.endofline and #lines > 1 then table.remove(lines) end
  local dos = #lines > 0 and text:find("\r\n", 1, true) ~= nil
  for index, line in ipairs(lines) do
    local last_and_open = index == #lines and not options.endofline
    if line:sub(-1) ~= "\r" and not last_and_open then dos = false end
  end
  options.fileformat = dos and "dos" or "unix"
  if dos then
    for index, line in ipairs(lines) do lines[index] = line:gsub("\r$", "") end
  end
  -- NUL cannot stand in a buffer line other than as a newline.
  for index, line in ipairs(lines) do lines[index] = line:gsub("%z", "\n") end
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
end

local function buffer_to_text(buffer)
  local options = vim.bo[buffer]
  local newline = options.fileformat == "dos" and "\r\n" or "\n"
  local lines = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
  for index, line in ipairs(lines) do lines[index] = line:gsub("\n", "\0") end
  if #lines == 1 and lines[1] == "" and not options.endofline then return "" end
  local ends = options.endofline or (options.fixendofline and not options.binary)
  if #lines == 1 and lines[1] == "" and known[buffer].empty then ends = false end
  return (options.bomb and BOM or "") .. table.concat(lines, newline) .. (ends and newline or "")
end

--- The file as the transaction, or git, sees it now; `absent` is no problem here.
local function look(where)
  local file, problem = api.file(where.repository, where.layer, where.path, transaction.id())
  if file then return file end
  if problem.code == "file_not_found" or problem.code == "layer_not_found" then
    return { oid = ABSENT, missing = problem.code }
  end
  return nil, problem
end

local function without_undo(buffer, change)
  local levels = vim.bo[buffer].undolevels
  vim.bo[buffer].undolevels = -1
  change()
  vim.bo[buffer].undolevels = levels
end

--- A user may have switched file types off.
local function detect_filetype(buffer)
  if vim.fn.exists("#filetypedetect#BufRead") == 0 then return end
  vim.api.nvim_buf_call(buffer, function() vim.cmd("filetype detect") end)
end

--- BufReadCmd.
function M.read(buffer, name)
  local where, wrong = place.parse(name)
  if not where then return message.error(wrong) end
  local file, problem = look(where)
  if not file then return message.error(message.problem(problem)) end
  vim.bo[buffer].buftype = "acwrite"
  vim.bo[buffer].swapfile = false
  if file.content_base64 and file.content_base64 ~= vim.NIL then
    vim.bo[buffer].readonly = true
    vim.bo[buffer].modifiable = false
    return message.warn(name .. " is not text; write it with `layerd put`")
  end
  known[buffer] = {
    place = where, oid = file.oid, base = file.oid, mode = file.mode, empty = file.content == "",
  }
  without_undo(buffer, function() text_to_buffer(buffer, file.content or "") end)
  vim.bo[buffer].modified = false
  detect_filetype(buffer)
  if file.missing then message.info(string.format("%s is new", name)) end
end

local function operations_for(buffer, create_layer)
  local entry = known[buffer]
  local where = entry.place
  local put = {
    op = "put_file", repository = where.repository, layer = where.layer, path = where.path,
    content = buffer_to_text(buffer), mode = entry.mode,
  }
  if not create_layer then return { put } end
  return { { op = "create_layer", repository = where.repository, layer = where.layer }, put }
end

--- BufWriteCmd. `force` (`:w!`) writes over a change made meanwhile, and makes the layer.
function M.write(buffer, force)
  local entry = known[buffer]
  if not entry then return message.error("this buffer was not read from a layer") end
  if not transaction.id() then
    local begun, problem = transaction.begin()
    if not begun then return message.error(message.problem(problem)) end
    message.info("began transaction " .. begun.id .. "; :LayerdCommit publishes it")
  end
  local now, problem = look(entry.place)
  if not now then return message.error(message.problem(problem)) end
  if now.oid ~= entry.oid and not force then
    conflicts.show({ {
      place = entry.place,
      text = "changed since it was read; :e! takes that version, :w! writes over it",
    } })
    return message.error(place.name(entry.place) .. " has changed since it was read")
  end
  local no_layer = now.missing == "layer_not_found"
  if no_layer and not force then
    return message.error("layer " .. entry.place.layer .. " does not exist; :w! creates it")
  end
  local staged, refusal = transaction.stage(operations_for(buffer, no_layer))
  if not staged then return message.error(message.problem(refusal)) end
  local after, late = look(entry.place)
  if not after then return message.error(message.problem(late)) end
  entry.oid, entry.staged = after.oid, true
  vim.bo[buffer].modified = false
end

--- Buffers whose content stands staged, as { buffer, place }.
function M.staged()
  local found = {}
  for buffer, entry in pairs(known) do
    if entry.staged and vim.api.nvim_buf_is_valid(buffer) then
      found[#found + 1] = { buffer = buffer, place = entry.place }
    end
  end
  return found
end

--- The transaction ended without a commit: what was staged is only in the buffers now, and
--- is compared with what git holds when it is written again.
local function give_back()
  for _, one in ipairs(M.staged()) do
    local entry = known[one.buffer]
    entry.oid, entry.staged = entry.base, false
    vim.bo[one.buffer].modified = true
  end
end

local function settle()
  for _, one in ipairs(M.staged()) do
    local entry = known[one.buffer]
    entry.base, entry.staged = entry.oid, false
  end
end

--- Looks again at one buffer: what is not modified is read anew, the rest is told.
local function look_again(buffer, entry)
  if entry.staged or not vim.api.nvim_buf_is_loaded(buffer) then return end
  local now = look(entry.place)
  if not now or now.oid == entry.oid then return end
  if vim.bo[buffer].modified then
    return message.warn(place.name(entry.place) .. " was changed by somebody else")
  end
  local view = vim.api.nvim_buf_call(buffer, vim.fn.winsaveview)
  M.read(buffer, place.name(entry.place))
  vim.api.nvim_buf_call(buffer, function() vim.fn.winrestview(view) end)
end

--- A layer moved.
function M.refresh(repository, layer)
  for buffer, entry in pairs(known) do
    local shows = entry.place.repository == repository and entry.place.layer == layer
    if shows then look_again(buffer, entry) end
  end
end

--- Any layer may have moved.
function M.refresh_all()
  for buffer, entry in pairs(known) do look_again(buffer, entry) end
end

function M.forget(buffer) known[buffer] = nil end

transaction.on_change(function(event)
  if event == "committed" then settle() end
  if event == "rolled_back" or event == "lost" then give_back() end
end)

return M
