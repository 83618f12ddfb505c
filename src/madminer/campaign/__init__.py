"""Campaigns: many trainings as values, run by any executor and resumed after a crash."""

from __future__ import annotations

from madminer.campaign.campaign import Campaign, CampaignStatus
from madminer.campaign.specification import load_trainings
from madminer.campaign.training import Outcome, Training

__all__ = ["Campaign", "CampaignStatus", "Outcome", "Training", "load_trainings"]
