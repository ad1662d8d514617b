--- Conflicts in the quickfix list.
local place = require("layerd.place")

local M = {}

--- Fills the list with { place, line?, text } and leaves the cursor where it is.
function M.show(items)
  local entries = {}
  for _, item in ipairs(items) do
    entries[#entries + 1] = {
      filename = place.name(item.place), lnum = item.line or 1, text = item.text, type = "E",
    }
  end
  vim.fn.setqflist({}, " ", { title = "layerd conflicts", items = entries })
end

local function short(oid)
  if type(oid) ~= "string" then return "nothing" end
  return oid:sub(0, 8)
end

--- The items that a problem document names: conflicting paths where it says them, else the
--- files that were staged in each layer that moved.
function M.of_problem(problem, staged)
  local items = {}
  for _, conflict in ipairs(problem.conflicts or {}) do
    local text = string.format("%s: expected %s, found %s", conflict.layer or conflict.ref,
      short(conflict.expected), short(conflict.actual))
    local layer = type(conflict.layer) == "string" and conflict.layer or nil
    if layer and type(conflict.path) == "string" then
      local where = { repository = conflict.repository, layer = layer, path = conflict.path }
      items[#items + 1] = { place = where, text = text }
    else
      for _, one in ipairs(staged) do
        if one.place.repository == conflict.repository and one.place.layer == layer then
          items[#items + 1] = { place = one.place, text = text }
        end
      end
    end
  end
  return items
end

return M
