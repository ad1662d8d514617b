--- The calls of the wire contract, as functions. `await` waits for one; `send` does not.
---
--- A problem is always a table { code, detail, ... }: the daemon's own document, or one
--- with the code `unreachable` where there is no daemon to ask.
local http = require("layerd.http")
local config = require("layerd.config")

local M = {}

local function decode(text)
  local ok, value = pcall(vim.json.decode, text)
  if ok and type(value) == "table" then return value end
  return nil
end

local function outcome(problem, response)
  if problem then return { code = "unreachable", detail = problem }, nil end
  local document = decode(response.body)
  if response.status >= 400 then
    return document or { code = "internal", detail = "HTTP status " .. response.status }, nil
  end
  return nil, document or {}
end

--- Starts a call; `on_done(problem, document)` runs in the editor's own context.
function M.send(method, path, body, on_done)
  return http.request({
    socket = config.socket(),
    method = method,
    path = path,
    body = body and vim.json.encode(body) or nil,
    timeout_ms = config.get("timeout_ms"),
  }, function(problem, response)
    vim.schedule(function() on_done(outcome(problem, response)) end)
  end)
end

--- Makes a call and waits for it, letting the editor work meanwhile.
--- Answers the document, or nil and the problem.
function M.await(method, path, body)
  local answered, problem, document = false, nil, nil
  local cancel = http.request({
    socket = config.socket(),
    method = method,
    path = path,
    body = body and vim.json.encode(body) or nil,
    timeout_ms = config.get("timeout_ms"),
  }, function(failure, response)
    answered, problem, document = true, failure, response
  end)
  vim.wait(config.get("timeout_ms") + 1000, function() return answered end, 5)
  if not answered then cancel() end
  local refused, value = outcome(problem, document)
  return value, refused
end

local function with_query(path, query)
  local parts = {}
  for name, value in pairs(query) do parts[#parts + 1] = name .. "=" .. http.escape(value) end
  if #parts == 0 then return path end
  table.sort(parts)
  return path .. "?" .. table.concat(parts, "&")
end

local function repository_path(repository, rest)
  return "/v1/repositories/" .. http.escape(repository) .. rest
end

local function transaction_path(id, rest)
  return "/v1/transactions/" .. http.escape(id) .. (rest or "")
end

function M.begin(body) return M.await("POST", "/v1/transactions", body) end

function M.transaction(id) return M.await("GET", transaction_path(id)) end

function M.stage(id, operations)
  return M.await("POST", transaction_path(id, "/operations"), { operations = operations })
end

function M.commit(id) return M.await("POST", transaction_path(id, "/commit")) end

function M.rollback(id) return M.await("POST", transaction_path(id, "/rollback")) end

function M.heartbeat(id, on_done) M.send("POST", transaction_path(id, "/heartbeat"), nil, on_done) end

function M.diff(id) return M.await("GET", transaction_path(id, "/diff")) end

function M.repositories(path)
  return M.await("GET", with_query("/v1/repositories", { path = path }))
end

function M.layers(repository)
  return M.await("GET", repository_path(repository, "/layers?limit=1000"))
end

function M.tree(repository, layer, transaction)
  return M.await("GET", with_query(repository_path(repository, "/tree"), {
    layer = layer, transaction = transaction,
  }))
end

function M.file(repository, layer, path, transaction)
  return M.await("GET", with_query(repository_path(repository, "/file"), {
    layer = layer, path = path, transaction = transaction,
  }))
end

function M.stacks(repository) return M.await("GET", repository_path(repository, "/stacks")) end

--- `query` = { stack or layers, path, transaction? }; asks for the origins of every key.
function M.explain(repository, query, on_done)
  query.explain = "true"
  M.send("GET", with_query(repository_path(repository, "/view"), query), nil, on_done)
end

return M
