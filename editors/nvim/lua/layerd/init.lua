--- layerd in Neovim: transactions over the layers of a Git repository.
--- Help: |layerd|. What a user calls is here; everything else is in the other modules.
local api = require("layerd.api")
local buffer = require("layerd.buffer")
local config = require("layerd.config")
local conflicts = require("layerd.conflicts")
local events = require("layerd.events")
local message = require("layerd.message")
local place = require("layerd.place")
local provenance = require("layerd.provenance")
local transaction = require("layerd.transaction")

local M = {}

--- The last `layer.changed` event, for `autocmd User LayerdChanged`.
M.changed = nil

function M.begin(text)
  local begun, problem = transaction.begin(text)
  if not begun then return message.error(message.problem(problem)) end
  message.info("began transaction " .. begun.id)
end

local function tell_refusal(problem, staged)
  local items = conflicts.of_problem(problem, staged)
  conflicts.show(items)
  local text = message.problem(problem)
  if #items > 0 then text = text .. "; :copen lists the files" end
  if transaction.id() then text = text .. "; the transaction is open still, try again" end
  message.error(text)
end

function M.commit()
  local staged = buffer.staged()
  local done, problem = transaction.commit()
  if not done then return tell_refusal(problem, staged) end
  if done.state == "committing" then
    return message.warn(done.id .. " is decided; its publication lags: `layerd show " .. done.id .. "`")
  end
  message.info(string.format("committed %s: %d ref%s moved", done.id, #done.results,
    #done.results == 1 and "" or "s"))
end

function M.rollback()
  local ended, problem = transaction.rollback()
  if not ended then return message.error(message.problem(problem)) end
  message.info("rolled back " .. ended.id)
end

--- Lines that say what is open and what it changes.
function M.status_lines()
  local id = transaction.id()
  if not id then return { "no transaction is open" } end
  local answer, problem = api.transaction(id)
  if not answer then return { message.problem(problem) } end
  local document = answer.transaction
  local lines = {
    string.format("transaction %s: %s, %s, %d operation%s, lease until %s", id, document.state,
      document.isolation, document.operations, document.operations == 1 and "" or "s",
      tostring(document.lease_expires_at)),
  }
  local diff = api.diff(id)
  for _, change in ipairs(diff and diff.changes or {}) do
    lines[#lines + 1] = string.format("  %-8s %s/%s:%s", change.status, change.repository,
      change.layer, change.path)
  end
  return lines
end

function M.status() print(table.concat(M.status_lines(), "\n")) end

--- For 'statusline': empty where no transaction is open. Asks nobody.
function M.statusline()
  local document = transaction.document()
  if not document then return "" end
  return string.format("layerd %s +%d", document.id:sub(-6), document.operations)
end

function M.edit(text)
  local where, wrong = place.resolve(text)
  if not where then return message.error(wrong) end
  vim.cmd("edit " .. vim.fn.fnameescape(place.name(where)))
end

--- Completion of LAYER:PATH in the default repository.
function M.complete(lead)
  local repository = place.default_repository()
  if not repository then return {} end
  local layer = lead:match("^([^:]+):")
  local found = {}
  if layer then
    local tree = api.tree(repository, layer, transaction.id())
    for _, file in ipairs(tree and tree.files or {}) do found[#found + 1] = layer .. ":" .. file.path end
  else
    local answer = api.layers(repository)
    for _, one in ipairs(answer and answer.layers or {}) do found[#found + 1] = one.name .. ":" end
  end
  return vim.tbl_filter(function(word) return vim.startswith(word, lead) end, found)
end

--- Where the key under the cursor comes from; `stack` decides what hides what.
function M.explain(stack) provenance.explain(vim.api.nvim_get_current_buf(), stack) end

local function layer_changed(event)
  M.changed = event.data
  local layer = event.data.layer
  if type(layer) == "string" then
    buffer.refresh(event.data.repository, layer)
    provenance.forget(event.data.repository)
  end
  vim.cmd("doautocmd <nomodeline> User LayerdChanged")
end

--- Follows the event stream; called by setup() where the setting `follow` is true.
function M.follow()
  events.follow(function(event)
    if event.type == "layer.changed" then layer_changed(event) end
  end, function()
    buffer.refresh_all()
    provenance.forget()
    vim.cmd("doautocmd <nomodeline> User LayerdChanged")
  end)
end

function M.setup(given)
  config.set(given)
  if config.get("follow") then M.follow() end
end

function M.leave()
  events.stop()
  transaction.leave()
end

return M
