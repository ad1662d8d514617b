--- The daemon's event stream, followed for the editor's life.
---
--- E1. Nothing is polled: the stream is one request whose answer does not end.
--- E2. After a break it resumes behind the last event; where the daemon no longer knows that
---     one, everything shown is looked at again. Waits between tries double up to a bound.
local api_http = require("layerd.http")
local config = require("layerd.config")

local M = {}

local WAIT_MS_MIN, WAIT_MS_MAX = 250, 15000

local cancel = nil
local wanted = false
local last_id = nil
local wait_ms = WAIT_MS_MIN
local on_event = function() end
local on_gap = function() end

local connect

local function again()
  if not wanted then return end
  local timer = vim.loop.new_timer()
  timer:start(wait_ms, 0, function()
    timer:close()
    if wanted then vim.schedule(connect) end
  end)
  wait_ms = math.min(WAIT_MS_MAX, wait_ms * 2)
end

local function take(line)
  if line == "" then return end
  local ok, event = pcall(vim.json.decode, line)
  if not ok or type(event) ~= "table" then return end
  wait_ms = WAIT_MS_MIN
  if event.type == "overflow" then
    last_id = nil
    return on_gap()
  end
  -- A refusal's document comes down the same way; it is told by its status.
  if not event.id then return end
  last_id = event.id
  on_event(event)
end

connect = function()
  local rest = ""
  local path = "/v1/events" .. (last_id and ("?after=" .. api_http.escape(last_id)) or "")
  cancel = api_http.request({
    socket = config.socket(), method = "GET", path = path, timeout_ms = config.get("timeout_ms"),
    headers = { Accept = "application/x-ndjson" },
    on_body = function(part)
      rest = rest .. part
      while true do
        local finish = rest:find("\n", 1, true)
        if not finish then return end
        local line = rest:sub(1, finish - 1)
        rest = rest:sub(finish + 1)
        vim.schedule(function() take(line) end)
      end
    end,
  }, function(_, response)
    vim.schedule(function()
      cancel = nil
      if response and response.status == 410 then
        last_id = nil
        on_gap()
      end
      again()
    end)
  end)
end

--- Follows the stream: `event(event)` for each, `gap()` where some were missed.
function M.follow(event, gap)
  on_event, on_gap = event, gap
  if wanted then return end
  wanted = true
  connect()
end

function M.stop()
  wanted = false
  if cancel then cancel() end
end

return M
