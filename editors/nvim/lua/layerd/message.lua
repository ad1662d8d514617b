--- What the plugin says to its user.
local M = {}

local function say(text, level)
  vim.notify("layerd: " .. text, level)
end

function M.info(text) say(text, vim.log.levels.INFO) end
function M.warn(text) say(text, vim.log.levels.WARN) end
function M.error(text) say(text, vim.log.levels.ERROR) end

--- One line for a problem document.
function M.problem(problem)
  local text = problem.detail or problem.title or problem.code or "unknown problem"
  if problem.code == "unreachable" then
    return text .. "; start one with `layerd start`"
  end
  return string.format("%s (%s)", text, problem.code)
end

return M
