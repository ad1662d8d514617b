--- HTTP/1.1 over a Unix socket, on libuv alone.
---
--- H1. One connection a request, closed after it: no state outlives an answer.
--- H2. Callbacks run in libuv's fast context; whoever needs the editor schedules itself.
--- H3. `on_done(problem, response)` is called exactly once, also when the request is
---     cancelled, its time is over, or the daemon dies in the middle of the answer.
local M = {}

local uv = vim.loop

--- Bytes of one answer that are kept; a daemon that sends more is not ours.
local BODY_BYTES_MAX = 64 * 1024 * 1024
local HEAD_BYTES_MAX = 64 * 1024

--- A decoder that is fed what arrives and hands over the body as it comes.
--- States: head, sized, chunk_size, chunk, chunk_end, trailer, until_close, done.
local Decoder = {}
Decoder.__index = Decoder

local function new_decoder(on_body)
  return setmetatable({
    state = "head", buffer = "", left = 0, headers = {}, status = nil, on_body = on_body,
  }, Decoder)
end

function Decoder:head()
  local finish, after = self.buffer:find("\r\n\r\n", 1, true)
  if not finish then
    if #self.buffer > HEAD_BYTES_MAX then error("the answer's headers are too long", 0) end
    return false
  end
  local head = self.buffer:sub(1, finish - 1)
  self.buffer = self.buffer:sub(after + 1)
  self.status = tonumber(head:match("^HTTP/1%.%d (%d%d%d)"))
  if not self.status then error("the answer is not HTTP", 0) end
  for name, value in head:gmatch("\r\n([^:\r\n]+):[ \t]*([^\r\n]*)") do
    self.headers[name:lower()] = value
  end
  if (self.headers["transfer-encoding"] or ""):lower():find("chunked", 1, true) then
    self.state = "chunk_size"
  elseif self.headers["content-length"] then
    self.left = tonumber(self.headers["content-length"]) or 0
    self.state = self.left > 0 and "sized" or "done"
  else
    self.state = "until_close"
  end
  return true
end

--- Hands over what there is of the `left` bytes; true when all of them came.
function Decoder:take()
  if self.buffer == "" then return self.left == 0 end
  local part = self.buffer:sub(1, self.left)
  self.buffer = self.buffer:sub(#part + 1)
  self.left = self.left - #part
  self.on_body(part)
  return self.left == 0
end

function Decoder:line()
  local finish = self.buffer:find("\r\n", 1, true)
  if not finish then return nil end
  local line = self.buffer:sub(1, finish - 1)
  self.buffer = self.buffer:sub(finish + 2)
  return line
end

--- One step; false where more bytes are needed first.
function Decoder:step()
  if self.state == "head" then return self:head() end
  if self.state == "sized" then
    if not self:take() then return false end
    self.state = "done"
  elseif self.state == "chunk_size" then
    local line = self:line()
    if not line then return false end
    self.left = tonumber(line:match("^%x+") or "", 16) or error("a chunk has no size", 0)
    self.state = self.left == 0 and "trailer" or "chunk"
  elseif self.state == "chunk" then
    if not self:take() then return false end
    self.state = "chunk_end"
  elseif self.state == "chunk_end" then
    if not self:line() then return false end
    self.state = "chunk_size"
  elseif self.state == "trailer" then
    local line = self:line()
    if not line then return false end
    if line == "" then self.state = "done" end
  elseif self.state == "until_close" then
    if self.buffer == "" then return false end
    self.left = #self.buffer
    self:take()
  else
    return false
  end
  return true
end

function Decoder:feed(data)
  self.buffer = self.buffer .. data
  while self:step() do end
end

--- The connection was closed: is the answer whole?
function Decoder:close()
  if self.state == "until_close" then self.state = "done" end
  return self.state == "done"
end

local function encode(request)
  local body = request.body or ""
  local lines = {
    string.format("%s %s HTTP/1.1", request.method, request.path),
    "Host: layerd",
    "Connection: close",
    "Content-Length: " .. #body,
  }
  if body ~= "" then lines[#lines + 1] = "Content-Type: application/json" end
  for name, value in pairs(request.headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

--- Sends a request. `request` = { socket, method, path, body?, headers?, timeout_ms?,
--- on_body? }; with `on_body` the body is handed over as it comes and not kept, and
--- `timeout_ms` counts to the answer's head only. Answers a function that cancels.
function M.request(request, on_done)
  local pipe = uv.new_pipe(false)
  local timer = uv.new_timer()
  local parts, size, ended = {}, 0, false

  local function finish(problem, response)
    if ended then return end
    ended = true
    timer:stop()
    timer:close()
    if not pipe:is_closing() then pipe:close() end
    on_done(problem, response)
  end

  local decoder = new_decoder(request.on_body or function(part)
    size = size + #part
    if size > BODY_BYTES_MAX then error("the answer is too large", 0) end
    parts[#parts + 1] = part
  end)

  local function received(failure, data)
    if failure then return finish("reading from the daemon failed: " .. failure) end
    if data then
      local ok, problem = pcall(decoder.feed, decoder, data)
      if not ok then return finish(tostring(problem)) end
      if request.on_body and decoder.status then timer:stop() end
    elseif not decoder:close() then
      return finish("the daemon closed the connection in the middle of its answer")
    end
    if decoder.state == "done" then
      finish(nil, { status = decoder.status, headers = decoder.headers, body = table.concat(parts) })
    end
  end

  timer:start(request.timeout_ms or 30000, 0, function()
    finish("the daemon did not answer in time")
  end)
  pipe:connect(request.socket, function(failure)
    if ended then return end
    if failure then
      return finish(string.format("no daemon answers at %s (%s)", request.socket, failure))
    end
    pipe:read_start(received)
    pipe:write(encode(request), function(write_failure)
      if write_failure then finish("writing to the daemon failed: " .. write_failure) end
    end)
  end)
  return function() finish("cancelled") end
end

--- One part of a path or query, percent-encoded.
function M.escape(text)
  return (text:gsub("[^%w%-._~]", function(char) return string.format("%%%02X", char:byte()) end))
end

return M
