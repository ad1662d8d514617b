--- Names of files in layers: `layerd://REPOSITORY/LAYER:PATH`.
---
--- A layer has slashes and no colon, so that the first colon ends it, as in git's `ref:path`.
local api = require("layerd.api")
local config = require("layerd.config")

local M = {}

local SCHEME = "layerd://"

--- { repository, layer, path }, or nil and what is wrong with the name.
function M.parse(name)
  if name:sub(1, #SCHEME) ~= SCHEME then return nil, "a name begins with " .. SCHEME end
  local repository, layer, path = name:sub(#SCHEME + 1):match("^([^/:]+)/([^:]+):(.+)$")
  if not repository then
    return nil, "a name is layerd://REPOSITORY/LAYER:PATH, not " .. name
  end
  return { repository = repository, layer = layer, path = path }
end

function M.name(place)
  return string.format("%s%s/%s:%s", SCHEME, place.repository, place.layer, place.path)
end

--- The repository that is meant where none is named.
function M.default_repository()
  local given = config.get("repository") or config.env("LAYERD_REPOSITORY")
  if given then return given end
  local found, problem = api.repositories(vim.fn.getcwd())
  if not found then return nil, problem.detail end
  local first = (found.repositories or {})[1]
  if first then return first.name end
  return nil, "no registered repository is around " .. vim.fn.getcwd()
    .. "; name one, or register it with `layerd repo add`"
end

--- Reads what a user types: a whole name, or LAYER:PATH in the default repository.
function M.resolve(text)
  if text:sub(1, #SCHEME) == SCHEME then return M.parse(text) end
  local repository, problem = M.default_repository()
  if not repository then return nil, problem end
  return M.parse(SCHEME .. repository .. "/" .. text)
end

return M
