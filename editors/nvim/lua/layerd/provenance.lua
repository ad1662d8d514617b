--- Where the key under the cursor comes from, as virtual text.
---
--- P1. The daemon's `view?explain=true` says layer, commit and line of every key and what each
---     hides; a line of this buffer is found among them by layer and line. Nothing is parsed
---     here.
--- P2. An answer is kept until its repository moves; a modified buffer has other lines than
---     its layer, so that nothing is shown in one until it is written.
local api = require("layerd.api")
local config = require("layerd.config")
local message = require("layerd.message")
local place = require("layerd.place")
local transaction = require("layerd.transaction")

local M = {}

local namespace = vim.api.nvim_create_namespace("layerd")
--- Origins by "repository\nstack\npath\ntransaction\noperations".
local origins_of = {}
--- Repository to the name of the stack that explains it.
local stack_of = {}

local function key(where, stack)
  local open = transaction.document()
  return table.concat({ where.repository, stack, where.path, open and open.id or "",
    open and open.operations or 0 }, "\n")
end

--- The first stack of the repository that has the layer, or nil and what is wrong.
local function find_stack(where)
  local given = config.get("stack") or stack_of[where.repository]
  if given then return given end
  local answer, problem = api.stacks(where.repository)
  if not answer then return nil, message.problem(problem) end
  for _, stack in ipairs(answer.stacks or {}) do
    if vim.tbl_contains(stack.layers, where.layer) then
      stack_of[where.repository] = stack.name
      return stack.name
    end
  end
  return nil, "no stack of " .. where.repository .. " has layer " .. where.layer
    .. "; make one with `layerd stack set`"
end

local function key_name(origin)
  if type(origin.key) == "table" then return table.concat(vim.tbl_map(tostring, origin.key), ".") end
  return type(origin.key) == "string" and origin.key or "this file"
end

local function from(origin)
  local line = type(origin.line) == "number" and (" line " .. origin.line) or ""
  return string.format("%s%s @%s", origin.layer, line, tostring(origin.commit):sub(1, 8))
end

local function names(list)
  return table.concat(vim.tbl_map(from, list), ", ")
end

local function is_here(origin, layer, line)
  return origin.layer == layer and origin.line == line
end

--- What to say about a line of a layer's file; nil where nothing begins there.
function M.sentence(origins, layer, line)
  for _, origin in ipairs(origins) do
    local hides = origin.hides or {}
    if is_here(origin, layer, line) then
      if #hides == 0 then return key_name(origin) .. ": set here alone" end
      return key_name(origin) .. ": set here, hides " .. names(hides)
    end
    for _, hidden in ipairs(hides) do
      if is_here(hidden, layer, line) then
        return key_name(origin) .. ": hidden by " .. from(origin)
      end
    end
  end
  return nil
end

local function draw(buffer, line, text)
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  vim.api.nvim_buf_set_extmark(buffer, namespace, line - 1, 0, {
    virt_text = { { "  " .. text, "Comment" } },
  })
end

local function origins_in(document, path)
  for _, file in ipairs(document.files or {}) do
    if file.path == path and type(file.origins) == "table" then return file.origins end
  end
  return {}
end

--- Asks for the origins of the buffer's file and hands them over; `refused(text)` otherwise.
local function ask(where, stack, ready, refused)
  local at = key(where, stack)
  if origins_of[at] then return ready(origins_of[at]) end
  local query = { stack = stack, path = where.path, transaction = transaction.id() }
  api.explain(where.repository, query, function(problem, document)
    if problem then return refused(message.problem(problem)) end
    origins_of[at] = origins_in(document, where.path)
    ready(origins_of[at])
  end)
end

local function explain(buffer, stack, refused)
  local where = require("layerd.buffer").place_of(buffer)
  if not where then return refused("this buffer is no file of a layer") end
  if vim.bo[buffer].modified then return refused("write the buffer first: its lines have moved") end
  local name, wrong = stack or find_stack(where)
  if not name then return refused(wrong) end
  local line = vim.api.nvim_win_get_cursor(0)[1]
  ask(where, name, function(origins)
    if not vim.api.nvim_buf_is_valid(buffer) or vim.bo[buffer].modified then return end
    local text = M.sentence(origins, where.layer, line)
    if text then draw(buffer, line, text) else refused("nothing that the view of " .. name
      .. " knows begins on this line") end
  end, refused)
end

--- :LayerdExplain. Says why where it has nothing to say.
function M.explain(buffer, stack)
  local where = require("layerd.buffer").place_of(buffer)
  if stack and where then stack_of[where.repository] = stack end
  explain(buffer, stack, message.warn)
end

--- CursorHold: shows what it can and keeps quiet otherwise.
function M.show(buffer)
  if config.get("provenance") then explain(buffer, nil, function() end) end
end

function M.hide(buffer) vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1) end

--- The text shown in a buffer, for statuslines and tests: nil where there is none.
function M.shown(buffer)
  local marks = vim.api.nvim_buf_get_extmarks(buffer, namespace, 0, -1, { details = true })
  local first = marks[1]
  return first and vim.trim(first[4].virt_text[1][1])
end

--- Forgets what is known of a repository, or of all.
function M.forget(repository)
  for at in pairs(origins_of) do
    if not repository or vim.startswith(at, repository .. "\n") then origins_of[at] = nil end
  end
  if repository then stack_of[repository] = nil else stack_of = {} end
end

return M
