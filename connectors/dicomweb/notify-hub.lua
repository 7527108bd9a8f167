-- Tells the hub at once that something changed in this Orthanc. The hub is told no more than that: it asks what.
--
-- In Orthanc's configuration:
--   "LuaScripts": ["/etc/orthanc/notify-hub.lua"],
--   "NotifyHub": { "Url": "https://hub.example/sources/first-pacs/changed", "Token": "the notifyToken of this source" }
-- The hub's certificate is verified where "HttpsVerifyPeers" is true and "HttpsCACertificates" names the authorities.

local hub = GetOrthancConfiguration()['NotifyHub']
-- An unreachable hub must not keep this Orthanc's other scripts waiting; the hub looks for itself, too. Before Orthanc 1.11 set "HttpTimeout" instead.
if SetHttpTimeout then SetHttpTimeout(2) end

local function changed()
  HttpPost(hub['Url'], '{}', { ['Authorization'] = 'Bearer ' .. hub['Token'], ['Content-Type'] = 'application/json' })
end

function OnStoredInstance(instanceId, tags, metadata, origin) changed() end
function OnStableStudy(studyId, tags, metadata) changed() end
-- A study that is deleted is deleted with all that it has: one call for each of its instances would be many.
function OnDeletedSeries(seriesId) changed() end
function OnDeletedInstance(instanceId) changed() end
