"""The viewer of the review app: NiiVue in the page, with our own tools, keys and server-drawn slices."""

from __future__ import annotations

from .assets import asset_folder as asset_folder
from .assets import script_name as script_name
from .component import viewer as viewer
from .events import Click as Click
from .events import Ready as Ready
from .events import SavedMask as SavedMask
from .events import ViewerEvents as ViewerEvents
from .scene import CT_PRESETS as CT_PRESETS
from .scene import HEAT as HEAT
from .scene import Jump as Jump
from .scene import Scene as Scene
from .scene import SceneMark as SceneMark
from .scene import SceneOverlay as SceneOverlay
from .scene import SceneStart as SceneStart
from .scene import SceneStructure as SceneStructure
from .scene import ValueColour as ValueColour
from .scene import WindowPreset as WindowPreset
