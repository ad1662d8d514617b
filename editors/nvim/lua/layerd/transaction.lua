--- The one transaction that this Neovim works in.
---
--- T1. At most one is open. One that was given by $LAYERD_TRANSACTION belongs to whoever
---     began it: it is neither kept alive nor ended here on the way out.
--- T2. The lease is renewed at a third of its length, so that two lost answers in a row are
---     survived; a lease that was lost is told at once, and the staged buffers are modified
---     again, so that nothing a user wrote is taken for safe.
local api = require("layerd.api")
local config = require("layerd.config")
local message = require("layerd.message")

local M = {}

local LEASE_SHARE = 3

local current = nil
local timer = nil
--- Called with what happened: "begun", "staged", "committed", "rolled_back", "lost".
local listeners = {}

function M.on_change(listener) listeners[#listeners + 1] = listener end

local function tell(event, document)
  for _, listener in ipairs(listeners) do listener(event, document) end
end

local function stop_timer()
  if not timer then return end
  timer:stop()
  timer:close()
  timer = nil
end

local function forget(event, document)
  stop_timer()
  current = nil
  tell(event, document)
end

local function ended(document)
  return document.state == "committed" or document.state == "rolled_back"
    or document.state == "failed"
end

local function renew()
  local id = current and current.id
  if not id then return end
  api.heartbeat(id, function(problem, document)
    if not current or current.id ~= id then return end
    if document then
      current.document = document.transaction
    elseif problem.code ~= "unreachable" then
      message.error("the transaction is over: " .. message.problem(problem))
      forget("lost")
    end
  end)
end

local function keep(document, owned)
  current = { id = document.id, document = document, owned = owned }
  if not owned then return end
  local every_ms = math.max(50, math.floor(config.get("lease_ms") / LEASE_SHARE))
  timer = vim.loop.new_timer()
  timer:start(every_ms, every_ms, vim.schedule_wrap(renew))
end

--- The id of the open transaction, or nil. Takes up $LAYERD_TRANSACTION the first time.
local taken_up = false
function M.id()
  local given = config.env("LAYERD_TRANSACTION")
  if not current and given and not taken_up then
    taken_up = true
    local answer, problem = api.transaction(given)
    if not answer then
      message.error("LAYERD_TRANSACTION: " .. message.problem(problem))
    elseif answer.transaction.state == "active" then
      keep(answer.transaction, false)
    end
  end
  return current and current.id
end

--- What is known of the open transaction without asking: its document, or nil.
function M.document() return current and current.document end

--- Begins one; `text` is the message of its commits, or nil.
function M.begin(text)
  if M.id() then return nil, { code = "open", detail = "transaction " .. current.id .. " is open" } end
  local body = {
    isolation = config.get("isolation"),
    lease_ms = config.get("lease_ms"),
    labels = { client = "nvim" },
  }
  if text and text ~= "" then body.message = text end
  local answer, problem = api.begin(body)
  if not answer then return nil, problem end
  keep(answer.transaction, true)
  tell("begun", answer.transaction)
  return answer.transaction
end

--- Stages operations, in a transaction that it begins where none is open.
function M.stage(operations)
  if not M.id() then
    local begun, problem = M.begin()
    if not begun then return nil, problem end
  end
  local answer, problem = api.stage(current.id, operations)
  if answer then
    current.document = answer.transaction
    tell("staged", answer.transaction)
    return answer.transaction
  end
  if problem.transaction and ended(problem.transaction) then
    forget("lost", problem.transaction)
  elseif problem.code == "lease_expired" or problem.code == "transaction_not_found" then
    forget("lost")
  end
  return nil, problem
end

--- Commits. Answers the transaction (`committed`, or `committing` where publication lags), or
--- nil and the problem; after a problem the transaction may still be open (see M.id).
function M.commit()
  if not M.id() then return nil, { code = "none", detail = "no transaction is open" } end
  local answer, problem = api.commit(current.id)
  if answer then
    forget("committed", answer.transaction)
    return answer.transaction
  end
  if problem.transaction then
    current.document = problem.transaction
    if ended(problem.transaction) then forget("rolled_back", problem.transaction) end
  elseif problem.code == "lease_expired" or problem.code == "transaction_not_found" then
    forget("lost")
  end
  return nil, problem
end

function M.rollback()
  if not M.id() then return nil, { code = "none", detail = "no transaction is open" } end
  local answer, problem = api.rollback(current.id)
  if answer then
    forget("rolled_back", answer.transaction)
    return answer.transaction
  end
  if problem.code ~= "unreachable" then forget("lost") end
  return nil, problem
end

--- Neovim ends: locks are given back now, not when the lease lapses.
function M.leave()
  if current and current.owned then M.rollback() end
end

return M
