"""Nodes of ComfyUI: multisched's samplers, and its spacings as schedulers.

Put or link this folder into ComfyUI's custom_nodes, and install multisched where ComfyUI runs:

    pip install multisched-diffusion
    ln -s .../integrations/comfyui ComfyUI/custom_nodes/multisched

Both nodes go into SamplerCustom and SamplerCustomAdvanced, as in workflow.json.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
