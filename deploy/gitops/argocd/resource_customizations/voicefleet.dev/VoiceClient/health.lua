-- Health of voicefleet's kinds by their conditions: the rules of kstatus (observedGeneration, then
-- Stalled, Reconciling, Ready), and Suspended where a person has asked for a halt. A Receptionist
-- has no conditions and needs no rule: Argo CD takes it as it is.
local health = { status = "Progressing", message = "The operator has not handled this yet" }
local status = obj.status or {}
local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end

local function stands(type)
  return found[type] ~= nil and found[type].status == "True"
end

local function because(type)
  local condition = found[type]
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.message
end

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Being deleted; what it has is given back first"
elseif stands("Paused") then
  health = { status = "Suspended", message = because("Paused") }
elseif found.Ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
elseif stands("Stalled") then
  health = { status = "Degraded", message = because("Stalled") }
elseif stands("Reconciling") then
  health = { status = "Progressing", message = because("Reconciling") }
elseif not stands("Ready") then
  health = { status = "Progressing", message = because("Ready") }
elseif found.Ready.reason == "Suspended" then
  health = { status = "Suspended", message = "Suspended: calls go to the fallback phone" }
else
  health = { status = "Healthy", message = because("Ready") }
end
return health
