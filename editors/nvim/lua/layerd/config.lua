--- Settings, and where the daemon's socket is (the rule of the wire contract, section 1).
local M = {}

local defaults = {
  --- Path of the socket; nil: $LAYERD_SOCKET, else the user's runtime directory.
  socket = nil,
  --- Repository that names without one belong to; nil: $LAYERD_REPOSITORY, else the
  --- registered one around the working directory.
  repository = nil,
  --- Stack whose view explains a key; nil: the repository's first one with the layer in it.
  stack = nil,
  --- `optimistic` holds no lock while you type and tells conflicts at commit;
  --- `locking` makes others wait.
  isolation = "optimistic",
  --- A transaction that Neovim cannot keep alive (it was killed) ends after this long.
  lease_ms = 60000,
  --- How long the editor waits for an answer.
  timeout_ms = 15000,
  --- Follow the daemon's event stream from the start.
  follow = true,
  --- Show where the key under the cursor comes from, in buffers of layers.
  provenance = true,
}

local settings = vim.deepcopy(defaults)

function M.set(given)
  for name in pairs(given or {}) do
    if defaults[name] == nil and name ~= "socket" and name ~= "repository" and name ~= "stack" then
      error(string.format("layerd: there is no setting %q", name), 0)
    end
  end
  settings = vim.tbl_extend("force", vim.deepcopy(defaults), given or {})
end

function M.get(name) return settings[name] end

local function env(name)
  local value = os.getenv(name)
  if value == "" then return nil end
  return value
end

M.env = env

function M.socket()
  local given = settings.socket or env("LAYERD_SOCKET")
  if given then return vim.fn.fnamemodify(given, ":p") end
  local runtime = env("XDG_RUNTIME_DIR")
  if runtime then return runtime .. "/layerd/layerd.sock" end
  return string.format("/tmp/layerd-%d/layerd.sock", vim.loop.getuid())
end

return M
